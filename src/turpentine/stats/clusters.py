"""Means over prompts: a bootstrap that draws concepts and prompts, since pictures of one prompt are alike.

Eight pictures of a prompt that fails are one finding and not eight. What would other prompts have given? A resample
draws concepts, then prompts of each, with replacement, and takes all their pictures along (the nested bootstrap of
Davison and Hinkley 1997, section 3.8). Of few clusters the percentiles are too narrow; they are taken further out by
the ratio of Student's t to the normal quantile (the expanded percentiles of Hesterberg 2015, section 5.3).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from turpentine.core.errors import BadArgument

ROUNDS = 4_000

Clusters = Sequence[tuple[Hashable, ...]]
"""For each value the clusters that it is in, from the outermost in: such as (concept, prompt), or (prompt,)."""


def resampled_means(
    values: Float[np.ndarray, " _"], clusters: Clusters, rounds: int = ROUNDS, seed: int = 0
) -> tuple[Float[np.ndarray, " _"], int]:
    """Return means of resamples of clusters, and the number of clusters that were drawn from.

    A level with one cluster is none, and neither is an inner one with a cluster for each value; where no level is left,
    values are drawn one by one.

    Args:
        values: A number for each picture, 1 or more.
        clusters: Of each value.
        rounds: Resamples.
        seed: Of the resamples.

    Raises:
        BadArgument: There are not as many clusters as values, or their levels differ in number.

    Example:
        >>> means, count = resampled_means(np.array([1.0, 1.0, 0.0, 0.0]), [("a dog",)] * 2 + [("a cat",)] * 2)
        >>> count, sorted(set(means.tolist()))
        (2, [0.0, 0.5, 1.0])
    """
    levels = _levels(clusters, len(values)) or [np.arange(len(values))]
    rng = np.random.default_rng(seed)
    outer = levels[0]
    sums, counts = np.zeros(rounds), np.zeros(rounds)
    number = int(outer.max()) + 1
    draws = rng.integers(number, size=(rounds, number))
    for cluster in range(number):
        members = outer == cluster
        inner = levels[1][members] if len(levels) > 1 else np.zeros(int(members.sum()), dtype=np.int64)
        rows, _ = np.nonzero(draws == cluster)
        part = _inner_draws(values[members], inner, len(rows), rng)
        np.add.at(sums, rows, part[0])
        np.add.at(counts, rows, part[1])
    return sums / counts, number


def are_clustered(clusters: Clusters) -> bool:
    """Return whether some values are together in a cluster, and not all in one.

    Example:
        >>> are_clustered([("a dog",), ("a dog",), ("a cat",)]), are_clustered([("a dog",), ("a cat",)])
        (True, False)
    """
    return bool(_levels(clusters, len(clusters)))


def row_resampler(clusters: Clusters) -> Callable[[np.random.Generator], Int[np.ndarray, " _"]]:
    """Return a function that draws the rows of a resample of clusters, all of a cluster's rows together.

    Args:
        clusters: Of each row.

    Raises:
        BadArgument: Clusters have different numbers of levels.
    """
    levels = _levels(clusters, len(clusters)) or [np.arange(len(clusters))]
    tree = _tree(np.arange(len(clusters)), levels)
    return lambda rng: np.concatenate(_chosen(tree, rng))


def _tree(rows: Int[np.ndarray, " _"], levels: Sequence[Int[np.ndarray, " _"]]) -> Any:
    """Return the rows of each cluster, in lists for each level."""
    if not levels:
        return rows
    numbers = levels[0][rows]
    return [_tree(rows[numbers == number], levels[1:]) for number in np.unique(numbers)]


def _chosen(tree: Any, rng: np.random.Generator) -> list[Any]:
    if isinstance(tree, np.ndarray):
        return [tree]
    return [part for number in rng.integers(len(tree), size=len(tree)) for part in _chosen(tree[number], rng)]


def expanded_tail(confidence: float, clusters: int) -> float:
    """Return the share to leave out at each end of a bootstrap over few clusters.

    Φ(√(k / (k − 1)) · t), t the quantile of Student's distribution with k − 1 degrees of freedom.

    Args:
        confidence: Between 0 and 1.
        clusters: Their number k; 1 counts as 2.

    Example:
        >>> round(expanded_tail(0.95, 10), 4), round(expanded_tail(0.95, 10_000), 4)
        (0.0086, 0.025)
    """
    from scipy.stats import norm, t

    k = max(2, clusters)
    return float(norm.cdf(np.sqrt(k / (k - 1)) * t.ppf((1 - confidence) / 2, k - 1)))


def _levels(clusters: Clusters, count: int) -> list[Int[np.ndarray, " _"]]:
    """Return one or two levels of clusters as numbers from 0; inner ones are distinct within an outer one only."""
    if len(clusters) != count:
        raise BadArgument(f"{len(clusters)} clusters for {count} values: give one for each.")
    depths = {len(cluster) for cluster in clusters}
    if len(depths) != 1 or not depths <= {1, 2}:
        raise BadArgument("The clusters of a bootstrap have one level or two, all the same.")
    if len(set(clusters)) == count:
        clusters = [cluster[:-1] for cluster in clusters]
    levels = [numbered([cluster[level] for cluster in clusters]) for level in range(len(clusters[0]))]
    return [level for level in levels if level.max() > 0]


def numbered(names: Sequence[Hashable]) -> Int[np.ndarray, " _"]:
    """Return a number for each name, from 0, in the order in which they come first.

    Example:
        >>> numbered(["b", "a", "b"]).tolist()
        [0, 1, 0]
    """
    numbers: dict[Hashable, int] = {}
    return np.asarray([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def _inner_draws(
    values: Float[np.ndarray, " _"], inner: Int[np.ndarray, " _"], draws: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]:
    """Return sums and numbers of values of `draws` resamples of the inner clusters, each of as many as there are."""
    names, inner = np.unique(inner, return_inverse=True)
    sums, counts = np.bincount(inner, values), np.bincount(inner).astype(np.float64)
    if len(names) == 1:
        return np.full(draws, sums[0]), np.full(draws, counts[0])
    taken = rng.integers(len(names), size=(draws, len(names)))  # many times faster than drawing how often each is taken
    return sums[taken].sum(1), counts[taken].sum(1)
