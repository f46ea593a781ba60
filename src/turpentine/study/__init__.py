"""Ratings by people: a plan, a server with a page, and what the answers say.

study = tp.study.read_study("artist-likeness")
"""

from typing import TYPE_CHECKING

from turpentine.core.lazy import lazy_exports

if TYPE_CHECKING:
    from turpentine.study.analysis import Findings as Findings
    from turpentine.study.analysis import analyse as analyse
    from turpentine.study.assignment import blocks as blocks
    from turpentine.study.exclusions import excluded_raters as excluded_raters
    from turpentine.study.judge_table import JudgeTable as JudgeTable
    from turpentine.study.judge_table import judge_tables as judge_tables
    from turpentine.study.server import create_app as create_app
    from turpentine.study.spec import StudySpec as StudySpec
    from turpentine.study.spec import shipped_studies as shipped_studies
    from turpentine.study.store import StudyStore as StudyStore
    from turpentine.study.study import Study as Study
    from turpentine.study.study import read_study as read_study

__getattr__, __dir__ = lazy_exports(__name__)
