"""Intraclass correlations of ratings, where each person rates some of the items only."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from turpentine.core.errors import BadArgument
from turpentine.stats.agreement import percentiles
from turpentine.stats.clusters import numbered
from turpentine.stats.intervals import CONFIDENCE, Estimate

ROUNDS = 200


class Reliability(NamedTuple):
    """Intraclass correlations of a two-way random model (Shrout and Fleiss 1979; McGraw and Wong 1996).

    Attributes:
        single: ICC(2,1), of one person's rating.
        average: ICC(2,k), of the mean of k ratings.
        k: Ratings of an item, on average.
    """

    single: float
    average: float
    k: float


def icc(values: Sequence[float], items: Sequence[Hashable], raters: Sequence[Hashable]) -> Reliability:
    """Return ICC(2,1) = σ²ᵢ/(σ²ᵢ + σ²ᵣ + σ²ₑ) and ICC(2,k), where σ²ᵣ + σ²ₑ is divided by k.

    The variances of items, raters and the rest are Henderson's (1953, method 3): sums of squares of each, given the
    other, equated to what is expected of them. Where everybody rates everything that is Shrout and Fleiss's ICC.

    Args:
        values: Ratings.
        items: Of each rating.
        raters: Of each rating.

    Returns:
        The correlations; below 0 where items differ less than chance makes them; NaN where nothing varies.

    Raises:
        BadArgument: There are not two raters and two items that share enough ratings.

    Example:
        >>> result = icc([1, 2, 4, 5, 8, 9], list("aabbcc"), [1, 2, 1, 2, 1, 2])
        >>> round(result.single, 2), round(result.average, 2), result.k
        (0.96, 0.98, 2.0)
    """
    y = np.asarray(values, dtype=np.float64)
    item, rater = numbered(items), numbered(raters)
    n, kinds, people = len(y), int(item.max(initial=-1)) + 1, int(rater.max(initial=-1)) + 1
    freedom = n - kinds - people + 1
    if min(kinds, people) < 2 or freedom < 1:
        raise BadArgument("Ratings have no reliability where fewer than two people rated the same two items.")
    y = y - y.mean()
    whole = _explained(y, item, rater)
    error = max(0.0, float(y @ y) - whole) / freedom
    of_items = _variance(y, whole, rater, item, kinds - 1, error)
    of_raters = _variance(y, whole, item, rater, people - 1, error)
    k = n / kinds
    total, mean = of_items + of_raters + error, of_items + (of_raters + error) / k
    return Reliability(of_items / total if total else float("nan"), of_items / mean if mean else float("nan"), k)


def icc_with_interval(
    values: Sequence[float],
    items: Sequence[Hashable],
    raters: Sequence[Hashable],
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> tuple[Estimate, Estimate]:
    """Return ICC(2,1) and ICC(2,k) with the expanded percentile bootstrap over items.

    Args:
        values: Ratings.
        items: Of each rating.
        raters: Of each rating.
        rounds: Resamples.
        seed: Of the resamples.
        confidence: Of the intervals.

    Raises:
        BadArgument: There are not two raters and two items that share enough ratings.
    """
    whole = icc(values, items, raters)
    y, item, rater = np.asarray(values, dtype=np.float64), numbered(items), list(raters)
    rows = [np.flatnonzero(item == each) for each in range(int(item.max()) + 1)]

    def resample(rng: np.random.Generator) -> Reliability:
        chosen = rng.integers(len(rows), size=len(rows))
        taken = np.concatenate([rows[each] for each in chosen])
        names = np.repeat(np.arange(len(rows)), [len(rows[each]) for each in chosen])
        try:
            return icc(y[taken].tolist(), names.tolist(), [rater[row] for row in taken])
        except BadArgument:
            return Reliability(float("nan"), float("nan"), 0.0)

    rng = np.random.default_rng(seed)
    drawn_values = [resample(rng) for _ in range(rounds)]
    ends = [
        percentiles(iter([each[place] for each in drawn_values]).__next__, rounds, len(rows), confidence)
        for place in (0, 1)
    ]
    return Estimate(whole.single, *ends[0]), Estimate(whole.average, *ends[1])


def _variance(
    y: Float[np.ndarray, " n"],
    whole: float,
    others: Int[np.ndarray, " n"],
    own: Int[np.ndarray, " n"],
    freedom: int,
    error: float,
) -> float:
    """Return the variance of `own` given the others: (SS(own | others) − df·σ²ₑ) / tr((P − P_others) Z Z')."""
    sums, counts = np.bincount(others, y), np.bincount(others)
    given = float((sums**2 / counts).sum())
    pairs, together = np.unique(np.stack([others, own]), axis=1, return_counts=True)
    trace = len(y) - float((together**2 / counts[pairs[0]]).sum())
    return (whole - given - freedom * error) / trace if trace else 0.0


def _explained(y: Float[np.ndarray, " n"], item: Int[np.ndarray, " n"], rater: Int[np.ndarray, " n"]) -> float:
    """Return the sum of squares that items and raters explain together; the larger factor is eliminated first."""
    many, few = (item, rater) if item.max() >= rater.max() else (rater, item)
    n_many, n_few = np.bincount(many), np.bincount(few)
    table = np.zeros((len(n_many), len(n_few)))
    np.add.at(table, (many, few), 1)
    mean = np.bincount(many, y) / n_many
    reduced = np.diag(n_few.astype(np.float64)) - table.T @ (table / n_many[:, None])
    right = np.bincount(few, y) - table.T @ mean
    effects = np.linalg.lstsq(reduced, right, rcond=None)[0]
    return float((n_many * mean**2).sum() + right @ effects)
