"""Runs that measure: cases, judged pictures, tables with intervals, and an erasure from end to end."""

from turpentine.bench.effects import Effect, Effects
from turpentine.bench.erasure import ErasureResult, load_erasure, run_erasure
from turpentine.bench.measure import Measurement, measure
from turpentine.bench.table import Table, tabulate
from turpentine.emoji.lexicon import world_concept
from turpentine.runs.ledger import LedgerError
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.results import Results
from turpentine.runs.specs import Cell, JudgeSpec, Source
from turpentine.runs.store import Store
from turpentine.stats.intervals import Difference, Rate, paired_bootstrap, wilson
from turpentine.tasks.cases import Case
from turpentine.tasks.erasure_cases import erasure_cases, plain_cases
from turpentine.tasks.groups import GROUPS

__all__ = [
    "GROUPS",
    "Case",
    "Cell",
    "Difference",
    "Effect",
    "Effects",
    "ErasureResult",
    "JudgeSpec",
    "LedgerError",
    "Measurement",
    "Plan",
    "Protocol",
    "Rate",
    "Results",
    "Source",
    "Store",
    "Table",
    "erasure_cases",
    "load_erasure",
    "measure",
    "paired_bootstrap",
    "plain_cases",
    "run_erasure",
    "tabulate",
    "wilson",
    "world_concept",
]
