"""Runs that measure: cases, judged pictures, comparisons with intervals, and an erasure from end to end."""

from turpentine.bench.cases import GROUPS, Case, erasure_cases, plain_cases
from turpentine.bench.compare import Change, Comparison, compare
from turpentine.bench.erasure import ErasureResult, load_erasure, run_erasure
from turpentine.bench.intervals import Difference, Rate, paired_bootstrap, wilson
from turpentine.bench.ledger import Ledger
from turpentine.bench.lexicon import world_concept
from turpentine.bench.measure import Measurement, measure
from turpentine.bench.protocol import Protocol

__all__ = [
    "GROUPS",
    "Case",
    "Change",
    "Comparison",
    "Difference",
    "ErasureResult",
    "Ledger",
    "Measurement",
    "Protocol",
    "Rate",
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
