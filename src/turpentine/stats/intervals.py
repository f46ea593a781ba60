"""Intervals: of rates, means, distances of sets, and differences over the same pictures.

Where it is given what pictures belong together, an interval is over prompts and concepts (see `clusters`), and never
narrower than the one over pictures, which leaves room where all pictures are alike.

By scipy: Wilson's interval, and the bootstrap of means. Ours, since scipy's says something else:

- `paired_bootstrap` leaves room where all pairs changed alike, where scipy gives a point, and draws the counts of the
  three outcomes that a pair can have, which takes the same time for any number of pairs;
- `set_distance` centres the resamples' deviations on their own mean, since a resample, which holds some pictures twice,
  is further off than the set; scipy's intervals would all be shifted by that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Shaped

from turpentine.core.errors import BadArgument
from turpentine.stats.clusters import Clusters, are_clustered, expanded_tail, resampled_means, row_resampler

Vectors: TypeAlias = Float[np.ndarray, "_ _"]

CONFIDENCE = 0.95
ROUNDS = 10_000
ROUNDS_OF_MEANS = 2_000
ROUNDS_OF_SETS = 100
_DRAWS = 4_000_000  # at once: all of a large bootstrap's would fill the memory

# scipy.stats takes a second to import, so each function imports what it needs of it.


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
    """Hits of n pictures, with a 95 % interval.

    Attributes:
        hits: 0 to n.
        n: 1 or more.
        ends: Of the interval over prompts; None for Wilson's, over pictures.

    Example:
        >>> rate = Rate(0, 20)
        >>> f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"
        '0% (0% to 16%)'
    """

    hits: int
    n: int
    ends: tuple[float, float] | None = None

    @property
    def value(self) -> float:
        """Hits per picture, 0 to 1."""
        return self.hits / self.n

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return (self.ends or wilson(self.hits, self.n))[0]

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return (self.ends or wilson(self.hits, self.n))[1]

    @classmethod
    def of(cls, outcomes: Sequence[bool], clusters: Clusters | None = None) -> Rate | None:
        """Return the rate of True, None of no outcomes.

        Args:
            outcomes: One for each picture.
            clusters: Of each picture, such as (concept, prompt); None for an interval over pictures.

        Example:
            >>> rate = Rate.of([True] * 8 + [False] * 8, [("a dog",)] * 8 + [("a cat",)] * 8)
            >>> f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"
            '50% (0% to 100%)'
        """
        if not len(outcomes):
            return None
        hits, n = sum(outcomes), len(outcomes)
        if clusters is None or not are_clustered(clusters):
            return cls(hits, n)
        return cls(hits, n, _with_clusters(wilson(hits, n), outcomes, clusters, 0, CONFIDENCE))


def wilson(hits: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the score interval of a rate (Wilson 1927), by scipy.

    (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n) with p = hits/n.

    Args:
        hits: 0 to n.
        n: Trials, 1 or more.
        confidence: Between 0 and 1.

    Returns:
        The lower and the upper end, 0 to 1; exactly 0 for no hits, and 1 for hits alone.

    Raises:
        BadArgument: An argument is out of range.

    Example:
        >>> low, high = wilson(8, 10)
        >>> round(low, 2), round(high, 2)
        (0.49, 0.94)
    """
    if n < 1 or not 0 <= hits <= n:
        raise BadArgument(
            f"{hits} hits of {n} are no rate: there must be one trial at least, and no more hits than that."
        )
    _check_confidence(confidence)
    return _wilson(hits, n, confidence)


# scipy takes 1 ms, most of it for a p-value that nobody reads; the rates of a table are often alike.
@lru_cache(maxsize=4096)
def _wilson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def paired_bootstrap(
    before: Sequence[bool],
    after: Sequence[bool],
    seed: int = 0,
    confidence: float = CONFIDENCE,
    clusters: Clusters | None = None,
) -> Difference:
    """Return after − before as a difference of rates, with the percentile bootstrap over pairs, or over clusters.

    Where all pairs changed alike a resample can show nothing else, and the interval would be a point; it then leaves
    room for as many other pairs as Wilson's interval does.

    Args:
        before: An outcome for each picture, 1 or more.
        after: Outcomes for the same pictures, in the same order.
        seed: Of the resamples.
        confidence: Between 0 and 1.
        clusters: Of each picture, such as (concept, prompt); None for an interval over pictures.

    Returns:
        The difference and its interval, −1 to 1.

    Raises:
        BadArgument: There are no pairs, the lengths differ, or the confidence is out of range.

    Example:
        >>> paired_bootstrap([True] * 8 + [False] * 2, [False] * 10)
        Difference(value=-0.8, low=-1.0, high=-0.5)
    """
    if not before or len(before) != len(after):
        raise BadArgument(f"{len(before)} outcomes before and {len(after)} after are no pairs.")
    change = np.asarray(after, dtype=np.int64) - np.asarray(before, dtype=np.int64)
    if (change == change[0]).all():
        return _alike(int(change[0]), len(change), confidence)
    ends = _ends(_resampled_means(change, seed), confidence)
    return Difference(float(change.mean()), *_with_clusters(ends, change, clusters, seed, confidence))


def mean_score(
    values: Sequence[float], seed: int = 0, confidence: float = CONFIDENCE, clusters: Clusters | None = None
) -> Estimate:
    """Return the mean of a score, with the percentile bootstrap over its pictures, by scipy, or over clusters.

    Args:
        values: A score for each picture, 1 or more; scores that are all alike give a point.
        seed: Of the resamples.
        confidence: Between 0 and 1.
        clusters: Of each picture, such as (concept, prompt); None for an interval over pictures.

    Returns:
        The mean and its interval, in the score's units.

    Raises:
        BadArgument: There are no values, or the confidence is out of range.

    Example:
        >>> mean_score([3, 3, 3])
        Estimate(value=3.0, low=3.0, high=3.0)
    """
    from scipy.stats import bootstrap

    if not len(values):
        raise BadArgument("There is no mean of no values: give one score at least.")
    _check_confidence(confidence)
    scores = np.asarray(values, dtype=np.float64)
    mean = float(scores.mean())
    if len(scores) == 1:  # which scipy refuses
        return Estimate(mean, mean, mean)
    interval = bootstrap(
        (scores,),
        np.mean,
        n_resamples=ROUNDS_OF_MEANS,
        batch=max(1, _DRAWS // len(scores)),
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    ends = float(interval.low), float(interval.high)
    return Estimate(mean, *_with_clusters(ends, scores, clusters, seed, confidence))


def paired_means(
    before: Sequence[float],
    after: Sequence[float],
    seed: int = 0,
    confidence: float = CONFIDENCE,
    clusters: Clusters | None = None,
) -> Difference:
    """Return after − before as a difference of means, with the percentile bootstrap over pairs, or over clusters.

    Args:
        before: A score for each picture, 1 or more.
        after: Scores of the same pictures, in the same order.
        seed: Of the resamples.
        confidence: Between 0 and 1.
        clusters: Of each picture, such as (concept, prompt); None for an interval over pictures.

    Returns:
        The difference and its interval, in the score's units.

    Raises:
        BadArgument: There are no pairs, the lengths differ, or the confidence is out of range.

    Example:
        >>> paired_means([0.5, 2.0], [1.5, 3.0])
        Difference(value=1.0, low=1.0, high=1.0)
    """
    if not len(before) or len(before) != len(after):
        raise BadArgument(f"{len(before)} scores before and {len(after)} after are no pairs.")
    change = np.subtract(after, before, dtype=np.float64)
    return Difference(*mean_score(change.tolist(), seed, confidence, clusters))


def mean_count(
    counts: Sequence[int], seed: int = 0, confidence: float = CONFIDENCE, clusters: Clusters | None = None
) -> Estimate:
    """Return the mean of a count, as `mean_score` does; where all are 0 it has the interval of 0 hits of n.

    Resamples of nothing but 0 show nothing else, and the interval would be a point, as if one more picture could not
    hold what is counted.

    Args:
        counts: Of each picture, 1 or more of them.
        seed: Of the resamples.
        confidence: Between 0 and 1.
        clusters: Of each picture, such as (concept, prompt); None for an interval over pictures.

    Raises:
        BadArgument: There are no counts, or the confidence is out of range.

    Example:
        >>> low, high = mean_count([0] * 20)[1:]
        >>> low, round(high, 2)
        (0.0, 0.16)
    """
    if len(counts) and not any(counts):
        ends = wilson(0, len(counts), confidence)
        return Estimate(0.0, *_with_clusters(ends, np.zeros(len(counts)), clusters, seed, confidence))
    return mean_score(counts, seed, confidence, clusters)


def paired_counts(
    before: Sequence[int],
    after: Sequence[int],
    seed: int = 0,
    confidence: float = CONFIDENCE,
    clusters: Clusters | None = None,
) -> Difference:
    """Return after − before as a difference of mean counts, as `paired_means` does; with room where no pair differs.

    Args:
        before: A count for each picture, 1 or more of them.
        after: Counts of the same pictures, in the same order.
        seed: Of the resamples.
        confidence: Between 0 and 1.
        clusters: Of each picture, such as (concept, prompt); None for an interval over pictures.

    Raises:
        BadArgument: There are no pairs, the lengths differ, or the confidence is out of range.

    Example:
        >>> difference = paired_counts([0] * 4, [0] * 4)
        >>> difference.value, round(difference.low, 2), round(difference.high, 2)
        (0.0, -0.49, 0.49)
    """
    if len(before) and len(before) == len(after) and not np.subtract(after, before).any():
        return _alike(0, len(before), confidence)
    return paired_means(before, after, seed, confidence, clusters)


def set_distance(
    measure: Callable[[Vectors, Vectors], float],
    a: Vectors,
    b: Vectors,
    *,
    rounds: int = ROUNDS_OF_SETS,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    clusters: tuple[Clusters, Clusters] | None = None,
) -> Estimate:
    """Return how far two sets are apart, with the bootstrap over the pictures of both, or over their clusters.

    A resample holds some pictures twice, which puts it further off than a set of that size is; the interval is of the
    resamples' deviations from their own mean. It says what other pictures would change, and not what more would.
    Takes `rounds` + 1 times the measure's own time.

    Args:
        measure: A distance of two sets, such as `set_distances.fid`; what it raises is passed on.
        a: A vector for each picture of one set.
        b: A vector for each picture of the other.
        rounds: Resamples.
        seed: Of the resamples.
        confidence: Between 0 and 1.
        clusters: Of each picture of one set and of the other; None to draw pictures.

    Returns:
        The distance and its interval, which does not go below 0.
    """
    value, rng = measure(a, b), np.random.default_rng(seed)
    draw_a, draw_b = map(row_resampler, clusters) if clusters else (None, None)
    resamples = np.asarray([measure(_resampled(a, rng, draw_a), _resampled(b, rng, draw_b)) for _ in range(rounds)])
    low, high = _ends(value + resamples - resamples.mean(), confidence)
    return Estimate(value, max(0.0, low), high)


def _with_clusters(
    ends: tuple[float, float],
    values: Sequence[float] | Shaped[np.ndarray, " _"],
    clusters: Clusters | None,
    seed: int,
    confidence: float,
) -> tuple[float, float]:
    """Return the interval of a mean, widened to the expanded percentiles over clusters where there are any."""
    if clusters is None or not are_clustered(clusters):
        return ends
    means, count = resampled_means(np.asarray(values, dtype=np.float64), clusters, seed=seed)
    tail = 100 * expanded_tail(confidence, count)
    low, high = np.percentile(means, [tail, 100 - tail])
    return min(ends[0], float(low)), max(ends[1], float(high))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise BadArgument(f"A confidence of {confidence} is not between 0 and 1.")


def _ends(resamples: Float[np.ndarray, " round"], confidence: float) -> tuple[float, float]:
    """Return the percentile interval, after checking that the confidence is between 0 and 1."""
    _check_confidence(confidence)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(resamples, [tail, 100 - tail])
    return float(low), float(high)


def _resampled(rows: Vectors, rng: np.random.Generator, draw: Callable[..., Any] | None) -> Vectors:
    resample: Vectors = rows[draw(rng) if draw else rng.integers(len(rows), size=len(rows))]
    return resample


def _alike(change: int, n: int, confidence: float) -> Difference:
    """Return the interval where all n pairs changed by the same; others may have changed by one more."""
    unseen = 1 - wilson(n, n, confidence)[0]
    return Difference(float(change), max(-1.0, change - unseen), min(1.0, change + unseen))


def _resampled_means(change: Int[np.ndarray, " pair"], seed: int) -> Float[np.ndarray, " round"]:
    """Return means of n pairs drawn with replacement; a draw is its counts of −1, 0 and 1, which are multinomial."""
    n = len(change)
    shares = [(change == value).mean() for value in (-1, 0, 1)]
    counts = np.random.default_rng(seed).multinomial(n, shares, size=ROUNDS)
    return np.asarray((counts[:, 2] - counts[:, 0]) / n)
