"""Correlations of pairs: Pearson's and Spearman's, with intervals and tests, by scipy."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from turpentine.core.errors import NotFinite
from turpentine.stats.intervals import CONFIDENCE, Estimate

Values = Float[np.ndarray, " pair"]

# scipy.stats takes a second to import, so each function imports what it needs of it.


def pearson(x: Values, y: Values, confidence: float = CONFIDENCE) -> Estimate:
    """Return Pearson's r with its interval, tanh(atanh r ± z/√(n − 3)) (Fisher 1921).

    Args:
        x: One value of each pair; 4 pairs or more.
        y: The other value of each pair.
        confidence: Of the interval, between 0 and 1.

    Returns:
        r and its interval, −1 to 1.

    Raises:
        NotFinite: The values of one side are all alike, or one is NaN or infinite.

    Example:
        >>> r, low, high = pearson(np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5]))
        >>> f"{r:.2f} ({low:.2f} to {high:.2f})"
        '0.80 (-0.28 to 0.99)'
    """
    from scipy.stats import pearsonr

    if not np.isfinite([x, y]).all() or _is_constant(x) or _is_constant(y):
        raise NotFinite("There is no correlation: all changes are alike, or one of them is NaN or infinite.")
    result = pearsonr(x, y)
    interval = result.confidence_interval(confidence)
    return Estimate(float(result.statistic), float(interval.low), float(interval.high))


def spearman(x: Values, y: Values) -> float:
    """Return Spearman's ρ, Pearson's r of the ranks (ties share the mean rank).

    Args:
        x: One value of each pair.
        y: The other value of each pair.

    Returns:
        ρ, −1 to 1; NaN where the values of one side are all alike and so have no ranks.

    Example:
        >>> round(spearman(np.array([1.0, 2, 3, 4]), np.array([1.0, 8, 27, 64])), 6)
        1.0
    """
    from scipy.stats import spearmanr

    if _is_constant(x) or _is_constant(y):
        return float("nan")
    return float(spearmanr(x, y).statistic)


def spearman_interval(
    x: Values, y: Values, *, rounds: int = 2000, seed: int = 0, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of ρ over pairs.

    A resample of few pairs may hold one pair only and then has no ranks. Such resamples are left out here; the interval
    of `scipy.stats.bootstrap` would be NaN.

    Args:
        x: One value of each pair.
        y: The other value of each pair.
        rounds: Resamples, 1 or more.
        seed: Of the resamples.
        confidence: Of the interval, between 0 and 1.

    Returns:
        The interval's lower and upper end.
    """
    resamples = np.random.default_rng(seed).integers(len(x), size=(rounds, len(x)))
    tail = 50 * (1 - confidence)
    low, high = np.nanpercentile([spearman(x[rows], y[rows]) for rows in resamples], [tail, 100 - tail])
    return float(low), float(high)


def spearman_p(x: Values, y: Values, *, rounds: int = 2000, seed: int = 0) -> float:
    """Return how often shuffled pairs have a |ρ| as large as these (a permutation test, two-sided).

    Args:
        x: One value of each pair.
        y: The other value of each pair.
        rounds: Shuffles, 1 or more; where there are no more different ones than that, each is taken once.
        seed: Of the shuffles.

    Returns:
        p, over 0 to 1: exact for few pairs, and else (1 + shuffles as large) / (1 + rounds).
    """
    from scipy.stats import permutation_test, rankdata

    centred = rankdata(x) - (len(x) + 1) / 2

    def strength(ranks: np.ndarray, axis: int) -> np.ndarray:
        # The covariance of the ranks, which is as ρ but for a factor: shuffles change no spread.
        return np.asarray(np.abs((centred * ranks).sum(axis)))

    test = permutation_test(
        (rankdata(y),),
        strength,
        permutation_type="pairings",
        n_resamples=rounds,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _is_constant(values: Values) -> bool:
    return bool(np.ptp(values) == 0)
