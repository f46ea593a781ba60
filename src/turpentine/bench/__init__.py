"""Measurements: cases, judged pictures, tables with intervals, and an erasure from end to end."""

from typing import TYPE_CHECKING

from turpentine.core.lazy import lazy_exports

if TYPE_CHECKING:
    from turpentine.bench.effects import Effect, Effects
    from turpentine.bench.erasure import Erasure, make_edit, run_erasure
    from turpentine.bench.erasure_result import ErasureResult, load_erasure
    from turpentine.bench.measurement import Measurement, measure
    from turpentine.bench.table import Table, tabulate
    from turpentine.emoji.lexicon import world_concept
    from turpentine.runs.ledger import LedgerError
    from turpentine.runs.plan import Plan
    from turpentine.runs.protocol import Protocol
    from turpentine.runs.results import Results
    from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec
    from turpentine.runs.store import Store
    from turpentine.stats.intervals import Difference, Rate, paired_bootstrap, wilson
    from turpentine.tasks.cases import Case
    from turpentine.tasks.erasure_cases import erasure_cases, plain_cases
    from turpentine.tasks.groups import GROUPS

__all__ = [
    "GROUPS",
    "Case",
    "Condition",
    "Difference",
    "Effect",
    "Effects",
    "Erasure",
    "ErasureResult",
    "JudgeSpec",
    "LedgerError",
    "Measurement",
    "ModelSpec",
    "Plan",
    "Protocol",
    "Rate",
    "Results",
    "Store",
    "Table",
    "erasure_cases",
    "load_erasure",
    "make_edit",
    "measure",
    "paired_bootstrap",
    "plain_cases",
    "run_erasure",
    "tabulate",
    "wilson",
    "world_concept",
]

__getattr__, __dir__ = lazy_exports(__name__)
