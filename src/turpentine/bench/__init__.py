"""Runs that measure: cases, judged pictures, comparisons with intervals, and an erasure from end to end."""

from turpentine.bench.cases import Case, erasure_cases, plain_cases
from turpentine.bench.compare import Change, Comparison, compare
from turpentine.bench.erasure import ErasureResult, load_erasure, run_erasure
from turpentine.bench.groups import GROUPS
from turpentine.bench.ledger import Ledger, LedgerError
from turpentine.bench.lexicon import world_concept
from turpentine.bench.measure import Measurement, measure
from turpentine.bench.plan import Plan
from turpentine.bench.protocol import Protocol
from turpentine.bench.results import Results
from turpentine.bench.store import Store
from turpentine.bench.work import Cell, JudgeSpec, Source
from turpentine.intervals import Difference, Rate, paired_bootstrap, wilson

__all__ = [
    "GROUPS",
    "Case",
    "Cell",
    "Change",
    "Comparison",
    "Difference",
    "ErasureResult",
    "JudgeSpec",
    "Ledger",
    "LedgerError",
    "Measurement",
    "Plan",
    "Protocol",
    "Rate",
    "Results",
    "Source",
    "Store",
    "compare",
    "erasure_cases",
    "load_erasure",
    "measure",
    "paired_bootstrap",
    "plain_cases",
    "run_erasure",
    "wilson",
    "world_concept",
]
