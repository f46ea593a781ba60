"""What a study of ratings can show: differences of means and of rates, and which of two is preferred."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, inf, log, sqrt

import numpy as np

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


def strength_errors(
    pairs: Mapping[tuple[str, str], int], ratings: int, ties: float, icc: float
) -> dict[tuple[str, str], float]:
    """Return the standard error of each difference of two log strengths, by name, where all are about as strong.

    Of Davidson's model with even sides, a choice has the information (1 − ties)/4 on the difference of its two
    strengths, and answers to one pair of pictures have the correlation `icc`. Two that are never compared are by way of
    others: the variance is the resistance between them in the network whose conductances are the informations, and
    infinite where no way leads.

    Args:
        pairs: Pairs of pictures by the two conditions.
        ratings: Of each pair of pictures.
        ties: Share of answers that are no difference.
        icc: Correlation of two answers to one pair, 0 to 1.

    Example:
        >>> errors = strength_errors({("a", "b"): 20, ("b", "c"): 20}, ratings=5, ties=0.0, icc=0.0)
        >>> {"".join(each): round(error, 3) for each, error in errors.items()}
        {'ab': 0.2, 'ac': 0.283, 'bc': 0.2}
    """
    if ratings < 1 or not 0 <= ties < 1 or not 0 <= icc <= 1:
        raise BadArgument(f"{ratings} ratings, {ties:g} ties and a correlation of {icc:g} cannot be: ≥ 1, < 1, 0 to 1.")
    names = sorted({name for pair in pairs for name in pair})
    conductance = np.zeros((len(names), len(names)))
    for pair, count in pairs.items():
        one, other = (names.index(name) for name in pair)
        conductance[[one, other], [other, one]] += count * ratings * (1 - ties) / 4 / (1 + (ratings - 1) * icc)
    inverse = np.linalg.pinv(np.diag(conductance.sum(0)) - conductance, hermitian=True)
    reaches = np.linalg.matrix_power((conductance > 0) + np.eye(len(names)), len(names)) > 0
    return {
        (names[i], names[j]): sqrt(inverse[i, i] + inverse[j, j] - 2 * inverse[i, j]) if reaches[i, j] else inf
        for i in range(len(names))
        for j in range(i + 1, len(names))
    }


def preference_power(preference: float, error: float, level: float = LEVEL) -> float:
    """Return the chance that a preference for one of two is shown.

    Args:
        preference: Share of those who see a difference that prefer the stronger one, 0.5 to 1.
        error: Of the difference of log strengths; see `strength_errors`.
        level: Of the two-sided test.

    Example:
        >>> round(preference_power(0.65, error=0.2), 2)  # 100 choices between two, without ties
        0.87
    """
    from scipy.stats import norm

    if not 0.5 <= preference < 1:
        raise BadArgument(f"A preference of {preference:g} cannot be: 0.5 or more, and less than 1.")
    if error == inf:
        return 0.0
    z = float(norm.isf(level / 2))
    shift = log(preference / (1 - preference)) / error
    return float(norm.sf(z - shift) + norm.cdf(-z - shift))


def detectable_preference(error: float, power: float = POWER, level: float = LEVEL) -> float:
    """Return the smallest preference that is shown with a given power; see `preference_power`.

    Args:
        error: Of the difference of log strengths; see `strength_errors`.
        power: The chance that it is shown.
        level: Of the two-sided test.

    Example:
        >>> round(detectable_preference(0.2), 3)
        0.637
    """
    from scipy.stats import norm

    return 1 / (1 + exp(-float(norm.isf(level / 2) + norm.isf(1 - power)) * error))


def _standard_error(items: int, ratings: int, sd: float, icc: float) -> float:
    if items < 1 or ratings < 1:
        raise BadArgument(f"{items} pictures with {ratings} ratings each: give one of each at least.")
    if sd <= 0 or not 0 <= icc <= 1:
        raise BadArgument(f"A standard deviation of {sd:g} and a correlation of {icc:g} cannot be: > 0, and 0 to 1.")
    return sd * sqrt(2 * (1 + (ratings - 1) * icc) / (items * ratings))
