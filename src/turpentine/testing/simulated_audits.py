"""Arms of an audit whose truth is set: what verdicts are tried on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from turpentine.audit.evidence import NAMED, Arms
from turpentine.audit.plan import pictures_needed
from turpentine.audit.verdict import Rules, ruling
from turpentine.stats.equivalence import Outcomes

PLACES = ("edited", "original", "oracle", "unnamed", "hidden")

Rates = tuple[tuple[float, ...], ...]
"""By name, by an attack that opens what only hides, and by one that opens nothing; each of `PLACES`."""

TRUTHS: Mapping[str, Rates] = {
    "gone": ((0.01, 0.9, 0.01, 0.02, 0.02), (0.03, 0.8, 0.03, 0.5, 0.7), (0.02, 0.9, 0.02, 0.04, 0.03)),
    "unnamed": ((0.02, 0.9, 0.01, 0.02, 0.02), (0.1, 0.8, 0.01, 0.1, 0.7), (0.02, 0.9, 0.02, 0.03, 0.03)),
    "hidden": ((0.01, 0.9, 0.01, 0.02, 0.02), (0.3, 0.8, 0.03, 0.6, 0.7), (0.02, 0.9, 0.02, 0.04, 0.03)),
    "weakened": ((0.3, 0.9, 0.01, 0.02, 0.02), (0.3, 0.8, 0.03, 0.6, 0.7), (0.3, 0.9, 0.02, 0.04, 0.03)),
    "not erased": ((0.85, 0.9, 0.01, 0.02, 0.02), (0.8, 0.8, 0.03, 0.6, 0.7), (0.9, 0.9, 0.02, 0.04, 0.03)),
}
BLIND: Rates = ((0.01, 0.9, 0.01, 0.02, 0.02), (0.01, 0.8, 0.01, 0.02, 0.02), (0.02, 0.9, 0.02, 0.04, 0.02))
"""Gone, but no attack has power."""
A_PROMPT = 8
"""Pictures of each prompt."""


def outcomes(rng: np.random.Generator, rate: float, n: int) -> Outcomes:
    """Return whether each of n pictures shows a concept that pictures show at a rate."""
    return Outcomes(tuple((rng.random(n) < rate).tolist()), tuple(place // A_PROMPT for place in range(n)))


def simulated_arms(rng: np.random.Generator, rates: Rates, n: int, *without: str) -> list[Arms]:
    """Return the arms of an audit of n pictures each, without some of `PLACES`."""
    return [
        Arms(name, **{arm: outcomes(rng, rate, n) for arm, rate in zip(PLACES, row, strict=True) if arm not in without})
        for name, row in zip((NAMED, "cce", "mma"), rates, strict=False)
    ]


def verdicts(rates: Rates, n: int, runs: int, seed: int = 0) -> Counter[str]:
    """Return how often each verdict comes of audits of n pictures an arm, quick ones if that is too few.

    Args:
        rates: The truth.
        n: Pictures of each arm.
        runs: Audits.
        seed: Of all chance.

    Example:
        >>> verdicts(TRUTHS["not erased"], 40, runs=3)
        Counter({'not erased': 3})
    """
    rng, rules = np.random.default_rng(seed), Rules(quick=n < pictures_needed())
    return Counter(ruling(simulated_arms(rng, rates, n), rules).verdict for _ in range(runs))
