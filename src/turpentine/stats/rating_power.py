"""What a study of ratings can show: differences of means and of rates, with several ratings of each picture."""

from __future__ import annotations

from math import sqrt

from turpentine.core.errors import BadArgument

LEVEL = 0.05
POWER = 0.8


def rating_power(difference: float, items: int, ratings: int, sd: float, icc: float, level: float = LEVEL) -> float:
    """Return the chance that a difference of two conditions' means is shown, by the normal approximation.

    Of n = items · ratings answers a condition, those to one picture have the correlation `icc`, so that the variance of
    a mean is sd²·(1 + (ratings − 1)·icc)/n. Raters see all conditions, and what is peculiar to a rater cancels.

    Args:
        difference: True, in the answers' units.
        items: Pictures of a condition.
        ratings: Of each picture.
        sd: Standard deviation of the answers.
        icc: Correlation of two answers to one picture, 0 to 1.
        level: Of the two-sided test.

    Example:
        >>> round(rating_power(0.5, items=32, ratings=5, sd=1.2, icc=0.3), 2)
        0.71
    """
    from scipy.stats import norm

    error = _standard_error(items, ratings, sd, icc)
    z = float(norm.isf(level / 2))
    return float(norm.sf(z - difference / error) + norm.cdf(-z - difference / error))


def detectable_difference(
    items: int, ratings: int, sd: float, icc: float, power: float = POWER, level: float = LEVEL
) -> float:
    """Return the smallest difference that is shown with a given power; see `rating_power`.

    Args:
        items: Pictures of a condition.
        ratings: Of each picture.
        sd: Standard deviation of the answers.
        icc: Correlation of two answers to one picture, 0 to 1.
        power: The chance that it is shown.
        level: Of the two-sided test.

    Example:
        >>> round(detectable_difference(items=32, ratings=5, sd=1.2, icc=0.3), 2)
        0.56
    """
    from scipy.stats import norm

    z = float(norm.isf(level / 2) + norm.isf(1 - power))
    return z * _standard_error(items, ratings, sd, icc)


def _standard_error(items: int, ratings: int, sd: float, icc: float) -> float:
    if items < 1 or ratings < 1:
        raise BadArgument(f"{items} pictures with {ratings} ratings each: give one of each at least.")
    if sd <= 0 or not 0 <= icc <= 1:
        raise BadArgument(f"A standard deviation of {sd:g} and a correlation of {icc:g} cannot be: > 0, and 0 to 1.")
    return sd * sqrt(2 * (1 + (ratings - 1) * icc) / (items * ratings))
