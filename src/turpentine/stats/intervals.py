"""How sure a number is: intervals for rates, means and distances of sets, and differences over the same pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from turpentine.core.errors import BadArgument

Vectors: TypeAlias = Float[np.ndarray, "_ _"]

CONFIDENCE = 0.95
ROUNDS = 10_000
ROUNDS_OF_MEANS = 2_000
ROUNDS_OF_SETS = 100
_DRAWS = 4_000_000


class Difference(NamedTuple):
    """A difference and its interval; of two rates it is −1 to 1."""

    value: float
    low: float
    high: float


class Estimate(NamedTuple):
    """A number and its interval."""

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
    return Difference(float(change.mean()), *_ends(_resampled_means(change, seed), confidence))


def mean_score(values: Sequence[float], seed: int = 0, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of a score, with the percentile bootstrap over its pictures.

    Values that are all alike give a point. Raises BadArgument for no value.
    """
    if not len(values):
        raise BadArgument("There is no mean of no values: give one score at least.")
    scores = np.asarray(values, dtype=np.float64)
    low, high = _ends(_bootstrapped_means(scores, seed), confidence)
    return Estimate(float(scores.mean()), low, high)


def paired_means(
    before: Sequence[float], after: Sequence[float], seed: int = 0, confidence: float = CONFIDENCE
) -> Difference:
    """after − before as a difference of means over the same pictures, with the percentile bootstrap over pairs.

    Raises BadArgument for no pair, or for two lengths.
    """
    if not len(before) or len(before) != len(after):
        raise BadArgument(f"{len(before)} scores before and {len(after)} after are no pairs.")
    return Difference(*mean_score(np.subtract(after, before, dtype=np.float64).tolist(), seed, confidence))


def set_distance(
    measure: Callable[[Vectors, Vectors], float],
    a: Vectors,
    b: Vectors,
    *,
    rounds: int = ROUNDS_OF_SETS,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """How far two sets are apart, such as by `judges.sets.fid`, with the bootstrap over the pictures of both.

    A resample holds some pictures twice, which puts it further off than a set of that size is; the interval is of the
    resamples' deviations from their own mean. It says what other pictures would change, and not what more would.
    Takes `rounds` + 1 times the measure's own time. Raises whatever the measure does.
    """
    value, rng = measure(a, b), np.random.default_rng(seed)
    found = np.asarray([measure(_resampled(a, rng), _resampled(b, rng)) for _ in range(rounds)])
    low, high = _ends(value + found - found.mean(), confidence)
    return Estimate(value, max(0.0, low), high)


def _ends(found: Float[np.ndarray, " round"], confidence: float) -> tuple[float, float]:
    """The percentile interval. Raises BadArgument for a confidence out of range."""
    _z(confidence)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(found, [tail, 100 - tail])
    return float(low), float(high)


def _resampled(rows: Vectors, rng: np.random.Generator) -> Vectors:
    return rows[rng.integers(len(rows), size=len(rows))]


def _bootstrapped_means(scores: Float[np.ndarray, " picture"], seed: int) -> Float[np.ndarray, " round"]:
    """Means of n scores drawn with replacement, some rounds at a time: all draws at once would fill the memory."""
    rng, n = np.random.default_rng(seed), len(scores)
    at_once = max(1, _DRAWS // n)
    sizes = [min(at_once, ROUNDS_OF_MEANS - done) for done in range(0, ROUNDS_OF_MEANS, at_once)]
    return np.concatenate([scores[rng.integers(n, size=(size, n))].mean(axis=1) for size in sizes])


def _z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise BadArgument(f"A confidence of {confidence} is not between 0 and 1.")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _alike(change: int, n: int, confidence: float) -> Difference:
    """All n pairs changed by this; pairs not seen may have changed by one less or one more."""
    unseen = 1 - wilson(n, n, confidence)[0]
    return Difference(float(change), max(-1.0, change - unseen), min(1.0, change + unseen))


def _resampled_means(change: Int[np.ndarray, " pair"], seed: int) -> Float[np.ndarray, " round"]:
    """Means of n pairs drawn with replacement; a draw is its counts of −1, 0 and 1, which are multinomial."""
    n = len(change)
    shares = [(change == value).mean() for value in (-1, 0, 1)]
    counts = np.random.default_rng(seed).multinomial(n, shares, size=ROUNDS)
    return np.asarray((counts[:, 2] - counts[:, 0]) / n)
