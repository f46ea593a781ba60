"""How many pictures a claim needs: the power of two one-sided tests of two rates, and sample sizes."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, sqrt

import numpy as np
from jaxtyping import Float

from turpentine.core.errors import BadArgument
from turpentine.stats.equivalence import LEVEL, Outcomes, are_pairs, discordance

MOST = 100_000
_EXACT = 1_500  # above it all pairs of counts are too many, and the normal approximation is close


def pictures_by_formula(rate: float, margin: float, power: float = 0.8, level: float = LEVEL) -> int:
    """Return how many pictures an arm needs for equivalence of two equal rates, by the normal approximation.

    (z₁₋α + z₁₋β⸝₂)² · 2p(1 − p)/δ² (Chow, Shao and Wang 2008, section 4.2.2), rounded up.

    Args:
        rate: Of both arms.
        margin: How far apart they may be.
        power: The chance that the tests pass.
        level: Of each of the two tests.

    Example:
        >>> pictures_by_formula(0.05, 0.05), pictures_by_formula(0.05, 0.05, 0.9)
        (326, 412)
    """
    from scipy.stats import norm

    _check(rate, margin, power)
    z = float(norm.isf(level) + norm.isf((1 - power) / 2))
    return max(1, ceil(z**2 * 2 * rate * (1 - rate) / margin**2))


def pictures_for_excess(rate: float, other: float, power: float = 0.8, level: float = LEVEL) -> int:
    """Return how many pictures an arm needs to show that a rate is above another one, by the normal approximation.

    (z₁₋α + z₁₋β)² · (p(1 − p) + q(1 − q))/(p − q)² (Chow, Shao and Wang 2008, section 4.2.1), rounded up.

    Args:
        rate: The higher one.
        other: The lower one.
        power: The chance that it is shown.
        level: Of the test.

    Example:
        >>> pictures_for_excess(0.5, 0.25)
        44
    """
    from scipy.stats import norm

    _check(other, rate - other, power)
    z = float(norm.isf(level) + norm.isf(1 - power))
    return max(1, ceil(z**2 * (rate * (1 - rate) + other * (1 - other)) / (rate - other) ** 2))


def pictures_for_non_inferiority(changed: float, margin: float, power: float = 0.8, level: float = LEVEL) -> int:
    """Return how many pairs of pictures show that a rate fell by less than a margin, if it did not fall.

    (z₁₋α + z₁₋β)² · q/δ² (Connor 1987, for McNemar), rounded up, and no fewer than show it where no pair changed.

    Args:
        changed: q, the share of pairs whose outcome changed.
        margin: By how much the rate may have fallen.
        power: The chance that it is shown.
        level: Of the test.

    Example:
        >>> pictures_for_non_inferiority(0.1, 0.03), pictures_for_non_inferiority(0.0, 0.03)
        (687, 88)
    """
    from scipy.stats import norm

    _check(changed, margin, power)
    z = float(norm.isf(level))
    least = z**2 * (1 - margin) / margin
    return ceil(max(least, (z + float(norm.isf(1 - power))) ** 2 * changed / margin**2))


@lru_cache(maxsize=256)
def equivalence_power(n: int, rate: float, other: float, margin: float, level: float = LEVEL) -> float:
    """Return the chance that `equivalence` holds of n independent pictures an arm, from all pairs of counts.

    Args:
        n: Pictures an arm.
        rate: Of one arm.
        other: Of the other; where it is a margin away, the chance is that of a false claim.
        margin: How far apart they may be.
        level: Of each of the two tests.

    Example:
        >>> round(equivalence_power(411, 0.05, 0.05, 0.05), 2), round(equivalence_power(411, 0.05, 0.10, 0.05), 2)
        (0.89, 0.05)
    """
    from scipy.stats import binom

    hits = np.arange(n + 1)
    passes = _passes(n, margin, level)
    return float(binom.pmf(hits, n, rate) @ passes @ binom.pmf(hits, n, other))


@lru_cache(maxsize=256)
def pictures_for_equivalence(
    rate: float, margin: float, power: float = 0.8, level: float = LEVEL, effect: float = 1.0
) -> int:
    """Return how many pictures an arm needs for `equivalence` of two equal rates to hold with some chance.

    Args:
        rate: Of both arms.
        margin: How far apart they may be.
        power: The chance.
        level: Of each of the two tests.
        effect: The design effect of pictures that share prompts, 1 for none.

    Example:
        >>> pictures_for_equivalence(0.0, 0.05), pictures_for_equivalence(0.05, 0.05)
        (52, 342)
    """
    _check(rate, margin, power)
    low, high = 1, max(64, 2 * pictures_by_formula(rate, margin, power, level))
    if high > 2 * _EXACT:
        return min(MOST, ceil(effect * pictures_by_formula(rate, margin, power, level)))
    while low < high:
        middle = (low + high) // 2
        if equivalence_power(middle, rate, rate, margin, level) >= power:
            high = middle
        else:
            low = middle + 1
    return min(MOST, ceil(effect * low))


def pictures_to_be_alike(one: Outcomes, other: Outcomes, margin: float) -> int:
    """Return how many pictures an arm would show that two arms are alike, if they are, by how they vary here.

    Pairs of which a share ψ differs vary as much as two arms by themselves at a rate p of which 2p(1 − p) = ψ.

    Args:
        one: What one arm shows.
        other: What the other shows.
        margin: How far apart the rates may be.

    Example:
        >>> half = Outcomes((True, False) * 50)
        >>> pictures_to_be_alike(half, half, 0.05), pictures_to_be_alike(half, Outcomes((True, False) * 40), 0.05)
        (52, 1713)
    """
    if are_pairs(one, other):
        share, effect = discordance(one, other)
        rate = (1 - sqrt(1 - 2 * min(0.5, share))) / 2
    else:
        rate = (one.rate * one.n + other.rate * other.n) / (one.n + other.n)
        effect = max(each.n / each.effective() for each in (one, other))
    return pictures_for_equivalence(round(rate, 2), round(margin, 3), effect=round(effect, 1))


def _passes(n: int, margin: float, level: float) -> Float[np.ndarray, "hits hits"]:
    """Return 1 for each pair of counts of n for which the interval of `rate_difference` is within the margin."""
    from scipy.stats import norm, t

    p, z = np.arange(n + 1) / n, norm.isf(level)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    down, up = p - centre + reach, centre + reach - p
    variance, freedom = p * (1 - p) / n, 2 * n - 1
    student = t.isf(level, freedom) * np.sqrt((variance[:, None] + variance) * (freedom + 1) / freedom)
    difference = p[:, None] - p
    low = difference - np.maximum(np.hypot(down[:, None], up), student)
    high = difference + np.maximum(np.hypot(up[:, None], down), student)
    passes: Float[np.ndarray, "hits hits"] = ((low > -margin) & (high < margin)).astype(np.float64)
    return passes


def _check(rate: float, margin: float, power: float) -> None:
    if not (0 <= rate <= 1 and 0 < margin < 1 and 0 < power < 1):
        raise BadArgument(f"There is no sample size for a rate of {rate}, a margin of {margin} and a power of {power}.")
