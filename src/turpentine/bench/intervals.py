"""How sure a number is: intervals for rates, and for the difference of two rates over the same pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from turpentine.errors import BadArgument

CONFIDENCE = 0.95
ROUNDS = 10_000


class Difference(NamedTuple):
    """A difference of two rates and its interval, −1 to 1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Rate:
    """Hits of n, with the 95 % interval of Wilson."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """Hits per picture, 0 to 1."""
        return self.hits / self.n

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return wilson(self.hits, self.n)[0]

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return wilson(self.hits, self.n)[1]

    @classmethod
    def of(cls, outcomes: Sequence[bool]) -> Rate | None:
        """The rate of True; None of nothing."""
        return cls(sum(outcomes), len(outcomes)) if len(outcomes) else None


def wilson(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval of a rate (Wilson 1927): low and high, 0 to 1.

    (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n) with p = hits/n. Raises BadArgument unless 0 ≤ hits ≤ n and n ≥ 1.
    """
    if n < 1 or not 0 <= hits <= n:
        raise BadArgument(
            f"{hits} hits of {n} are no rate: there must be one trial at least, and no more hits than that."
        )
    z = _z(confidence)
    p = hits / n
    middle = p + z * z / (2 * n)
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * reach) / (1 + z * z / n) for sign in (-1, 1))
    # Exact at the ends, where rounding would leave a trace.
    return (0.0 if hits == 0 else low, 1.0 if hits == n else high)


def paired_bootstrap(
    before: Sequence[bool], after: Sequence[bool], seed: int = 0, confidence: float = CONFIDENCE
) -> Difference:
    """after − before as a difference of rates over the same pictures, with the percentile bootstrap over pairs.

    Where all pairs changed alike a resample can show nothing else, and the interval would be a point; it then leaves
    room for as many other pairs as Wilson's interval does. Raises BadArgument for no pair, or for two lengths.
    """
    if not before or len(before) != len(after):
        raise BadArgument(f"{len(before)} outcomes before and {len(after)} after are no pairs.")
    change = np.asarray(after, dtype=np.int64) - np.asarray(before, dtype=np.int64)
    if (change == change[0]).all():
        return _alike(int(change[0]), len(change), confidence)
    means = _resampled_means(change, seed)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return Difference(float(change.mean()), float(low), float(high))


def _z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise BadArgument(f"A confidence of {confidence} is not between 0 and 1.")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _alike(change: int, n: int, confidence: float) -> Difference:
    """All n pairs changed by this; pairs not seen may have changed by one less or one more."""
    unseen = 1 - wilson(n, n, confidence)[0]
    return Difference(change, max(-1, change - unseen), min(1, change + unseen))


def _resampled_means(change: Int[np.ndarray, " pair"], seed: int) -> Float[np.ndarray, " round"]:
    """Means of n pairs drawn with replacement; a draw is its counts of −1, 0 and 1, which are multinomial."""
    n = len(change)
    shares = [(change == value).mean() for value in (-1, 0, 1)]
    counts = np.random.default_rng(seed).multinomial(n, shares, size=ROUNDS)
    return np.asarray((counts[:, 2] - counts[:, 0]) / n)
