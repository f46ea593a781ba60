"""Means of answers, where answers of one person are alike and so are answers to one picture."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float, Int

from turpentine.core.errors import BadArgument
from turpentine.stats.intervals import CONFIDENCE, Difference, Estimate, wilson


def two_way_mean(
    values: Sequence[float],
    raters: Sequence[Hashable],
    items: Sequence[Hashable],
    confidence: float = CONFIDENCE,
    *,
    is_rate: bool = False,
) -> Estimate:
    """Return a mean with an interval over raters and items.

    The variance is that over raters, plus that over items, minus that over their pairs (Cameron, Gelbach and Miller
    2011), and no smaller than either of the first two; Student's t of the fewer of the two, minus 1.

    Args:
        values: Answers, 1 or more.
        raters: Of each answer.
        items: Of each answer.
        confidence: Between 0 and 1.
        is_rate: Are the answers 0 and 1? Then the interval is never narrower than Wilson's, which leaves room where
            all are alike, and stays within 0 to 1.

    Raises:
        BadArgument: There are no values, or not as many raters or items.

    Example:
        >>> mean, low, high = two_way_mean([5, 4, 2, 1], ["ann", "bo", "ann", "bo"], ["a", "a", "b", "b"])
        >>> mean, low < 0 < 6 < high
        (3.0, True)
        >>> round(two_way_mean([1, 1, 1, 1], [1, 2, 3, 4], [1, 1, 2, 2], is_rate=True).low, 2)
        0.51
    """
    if not len(values) or not len(values) == len(raters) == len(items):
        raise BadArgument(f"{len(values)} answers, {len(raters)} raters, {len(items)} items: give as many of each.")
    y = np.asarray(values, dtype=np.float64)
    mean = float(y.mean())
    reach = _reach((y - mean) / len(y), raters, items, confidence)
    low, high = mean - reach, mean + reach
    if is_rate:
        ends = wilson(round(float(y.sum())), len(y), confidence)
        low, high = max(0.0, min(low, ends[0])), min(1.0, max(high, ends[1]))
    return Estimate(mean, low, high)


def two_way_difference(
    one: tuple[Sequence[float], Sequence[Hashable], Sequence[Hashable]],
    other: tuple[Sequence[float], Sequence[Hashable], Sequence[Hashable]],
    confidence: float = CONFIDENCE,
) -> Difference:
    """Return the difference of two means with an interval over raters and items; answers of a rater are together.

    Args:
        one: Answers, their raters and their items.
        other: The same of another condition.
        confidence: Between 0 and 1.

    Example:
        >>> people, pictures = ["ann", "bo", "cy"], ["a", "b", "c"]
        >>> two_way_difference(([3, 4, 5], people, pictures), ([1, 2, 3], people, pictures))
        Difference(value=2.0, low=2.0, high=2.0)
    """
    if not len(one[0]) or not len(other[0]):
        raise BadArgument("There is no difference to a condition without answers.")
    first, second = (np.asarray(each[0], dtype=np.float64) for each in (one, other))
    value = float(first.mean() - second.mean())
    parts = np.concatenate([(first - first.mean()) / len(first), -(second - second.mean()) / len(second)])
    reach = _reach(parts, [*one[1], *other[1]], [*one[2], *other[2]], confidence)
    return Difference(value, value - reach, value + reach)


def _reach(
    parts: Float[np.ndarray, " n"], raters: Sequence[Hashable], items: Sequence[Hashable], confidence: float
) -> float:
    """Return half the interval's width, from each answer's part of what the mean is off by."""
    from scipy.stats import t

    both = [_sums(parts, names) for names in (raters, items)]
    pairs = _sums(parts, list(zip(raters, items, strict=True)))
    by_rater, by_item, by_pair = (_variance(each) for each in (*both, pairs))
    variance = max(by_rater + by_item - by_pair, by_rater, by_item)
    freedom = max(1, min(len(each) for each in both) - 1)
    return float(t.ppf((1 + confidence) / 2, freedom) * np.sqrt(variance))


def _variance(sums: Float[np.ndarray, " cluster"]) -> float:
    """Return the variance over clusters, with the correction of few ones."""
    return float((sums**2).sum()) * len(sums) / max(1, len(sums) - 1)


def _sums(parts: Float[np.ndarray, " n"], names: Sequence[Hashable]) -> Float[np.ndarray, " cluster"]:
    numbers: dict[Hashable, int] = {}
    rows: Int[np.ndarray, " n"] = np.asarray([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
    return np.asarray(np.bincount(rows, parts))
