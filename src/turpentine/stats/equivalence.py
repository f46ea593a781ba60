"""Two rates held against each other: their difference, equivalence, non-inferiority, excess, and Holm's correction.

Pictures of one prompt are alike, and two models that are compared draw the same prompts. The interval of a difference
is therefore the wider, at each end, of two: Newcombe's of pictures (1998, "Interval estimation for the difference
between independent proportions", method 10), which leaves room where a rate is 0; and Student's over clusters, by the
linearised variance of a difference (Cochran 1977, section 6.3), in which a prompt's two rates are one residual. Where
an arm is of several models, such as oracles of several seeds, there is a third: what varies between them, with the
degrees of freedom of Satterthwaite (1946).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from turpentine.core.errors import BadArgument
from turpentine.stats.intervals import Difference, wilson

LEVEL = 0.05
"""Of each one-sided test: an interval of two of them holds 90 %."""


@dataclass(frozen=True)
class Outcomes:
    """Of each picture whether it shows something, and what pictures belong together.

    Args:
        hits: One for each picture, 1 or more.
        clusters: Of each picture, such as its prompt; the same name in two arms is the same prompt. None where each
            picture stands for itself.
        models: Of each picture which model drew it; None for one.

    Raises:
        BadArgument: There are no pictures, or not as many clusters or models as pictures.

    Example:
        >>> Outcomes((True, False), ("a church", "church")).rate
        0.5
    """

    hits: tuple[bool, ...]
    clusters: tuple[Hashable, ...] | None = None
    models: tuple[Hashable, ...] | None = None

    def __post_init__(self) -> None:
        if not self.hits:
            raise BadArgument("There is no rate of no pictures: give one outcome at least.")
        for what, names in (("clusters", self.clusters), ("models", self.models)):
            if names is not None and len(names) != len(self.hits):
                raise BadArgument(f"{len(names)} {what} for {len(self.hits)} outcomes: give one for each.")

    @property
    def n(self) -> int:
        """Pictures."""
        return len(self.hits)

    @cached_property
    def rate(self) -> float:
        """Hits per picture."""
        return sum(self.hits) / len(self.hits)

    @cached_property
    def residuals(self) -> Mapping[Hashable, float]:
        """Each cluster's part of what the rate is off by: Σ(y − p)/n over its pictures."""
        return self._residuals(self.clusters if self.clusters is not None else range(self.n))

    def between(self) -> tuple[float, int] | None:
        """Return the rate's variance between models and its degrees of freedom; None where one drew them all."""
        return _variance(self._residuals(self.models).values()) if len(set(self.models or ())) > 1 else None

    def variance(self) -> tuple[float, int]:
        """Return the rate's variance, between models or else over clusters, and its degrees of freedom."""
        return self.between() or _variance(self.residuals.values())

    def levels(self) -> list[tuple[Hashable, ...]] | None:
        """Return of each picture what it belongs to, for `clusters`: model, prompt, both, or None for neither."""
        names = [each for each in (self.models, self.clusters) if each is not None]
        return list(zip(*names, strict=True)) if names else None

    def _residuals(self, names: Iterable[Hashable] | None) -> dict[Hashable, float]:
        parts: dict[Hashable, float] = {}
        for name, hit in zip(names or (), self.hits, strict=True):
            parts[name] = parts.get(name, 0.0) + (hit - self.rate) / self.n
        return parts

    def effective(self) -> float:
        """Return how many pictures of different prompts and models would say as much: n over the design effect.

        The design effect, 1 or more, is the rate's variance over clusters, or between models if that is larger, by that
        over pictures (Kish 1965).

        Example:
            >>> round(Outcomes((True, False) * 10, tuple("ab") * 10).effective(), 1)  # all of a prompt alike
            1.1
        """
        plain = self.rate * (1 - self.rate) / max(1, self.n - 1)
        largest = max(_variance(self.residuals.values())[0], (self.between() or (0.0, 0))[0])
        effect = largest / plain if plain else 1.0
        return self.n / min(float(self.n), max(1.0, effect))


def pooled(outcomes: Sequence[Outcomes]) -> Outcomes:
    """Return the outcomes of several models as those of one arm.

    Args:
        outcomes: Of each model, one or more.

    Example:
        >>> both = pooled([Outcomes((True, False)), Outcomes((False, False))])
        >>> both.rate, both.models
        (0.25, (0, 0, 1, 1))
    """
    if len(outcomes) == 1:
        return outcomes[0]
    clusters = [each.clusters for each in outcomes]
    return Outcomes(
        tuple(hit for each in outcomes for hit in each.hits),
        tuple(name for names in clusters for name in names or ()) if all(clusters) else None,
        tuple(number for number, each in enumerate(outcomes) for _ in each.hits),
    )


class Equivalence(NamedTuple):
    """Two one-sided tests of a difference of two rates (Schuirmann 1987).

    Attributes:
        difference: With its 90 % interval.
        margin: How far the rates may be apart.
        holds: Is the whole interval within the margin?
    """

    difference: Difference
    margin: float
    holds: bool

    @property
    def is_apart(self) -> bool:
        """Is the whole interval outside the margin, so that more pictures would not make the rates the same?"""
        return self.difference.low > self.margin or self.difference.high < -self.margin


def rate_difference(one: Outcomes, other: Outcomes, level: float = LEVEL) -> Difference:
    """Return one rate minus another with the interval of two one-sided tests.

    Args:
        one: Of one arm.
        other: Of the other; prompts of both are one cluster.
        level: Of each end: the interval holds 1 − 2·level.

    Example:
        >>> value, low, high = rate_difference(Outcomes((True,) * 9 + (False,)), Outcomes((False,) * 10))
        >>> round(value, 2), round(low, 2), round(high, 2)
        (0.9, 0.57, 1.0)
    """
    value = one.rate - other.rate
    low, high = _newcombe([(sum(each.hits), each.n) for each in (one, other)], level)
    reach = max(_quantile(level, freedom) * float(np.sqrt(variance)) for variance, freedom in _variances(one, other))
    return Difference(value, max(-1.0, min(low, value - reach)), min(1.0, max(high, value + reach)))


def equivalence(
    one: Outcomes, other: Outcomes, margin: float, level: float = LEVEL, *, paired: bool = False
) -> Equivalence:
    """Test that two rates are no further apart than a margin; both tests at `level`.

    Args:
        one: Of one arm.
        other: Of the other.
        margin: In rates, above 0.
        level: Of each test.
        paired: Are the nth pictures of both of one prompt and seed?

    Example:
        >>> none = Outcomes((False,) * 60)
        >>> equivalence(none, none, 0.05).holds, equivalence(Outcomes((False,) * 20), none, 0.05).holds
        (True, False)
    """
    _check_margin(margin)
    difference = (paired_difference if paired else rate_difference)(one, other, level)
    return Equivalence(difference, margin, -margin < difference.low and difference.high < margin)


def are_pairs(one: Outcomes, other: Outcomes) -> bool:
    """Return whether the nth pictures of two arms of an audit are of one prompt and seed: one model drew each arm.

    Example:
        >>> one, longer = Outcomes((True, False)), Outcomes((True, False, False))
        >>> are_pairs(one, one), are_pairs(one, longer), are_pairs(one, Outcomes((True, False), ("a", "b")))
        (True, False, False)
    """
    return one.n == other.n and one.clusters == other.clusters and not (one.models or other.models)


def discordance(one: Outcomes, other: Outcomes) -> tuple[float, float]:
    """Return the share of pairs that differ, and the design effect of their difference, 1 or more.

    Args:
        one: Of one arm.
        other: Of the other, in pairs with it.

    Example:
        >>> discordance(Outcomes((True, True, False)), Outcomes((True, False, False)))
        (0.3333333333333333, 1.0)
    """
    n = one.n
    share = sum(here != there for here, there in zip(one.hits, other.hits, strict=True)) / n
    plain = (share - (one.rate - other.rate) ** 2) / max(1, n - 1)
    over_prompts = _variance(_residuals(one, other).values())[0] if one.clusters else plain
    return share, min(float(n), max(1.0, over_prompts / plain)) if plain else 1.0


def paired_difference(after: Outcomes, before: Outcomes, level: float = LEVEL) -> Difference:
    """Return one rate minus another where the nth pictures of both are of one prompt and seed, with an interval.

    The wider, at each end, of Tango's score interval of pairs (1998, "Equivalence test and confidence interval for the
    difference in proportions for the paired-sample design"), which leaves room where no pair changed, and Student's
    over clusters.

    Args:
        after: Of the edited model.
        before: Of the unedited one, as many.
        level: Of each end: the interval holds 1 − 2·level.

    Raises:
        BadArgument: There are not as many of both.

    Example:
        >>> same = Outcomes((True,) * 100)
        >>> value, low, high = paired_difference(same, same)
        >>> round(value, 2), round(low, 3), round(high, 3)
        (0.0, -0.026, 0.026)
    """
    if after.n != before.n:
        raise BadArgument(f"{after.n} pictures after and {before.n} before are no pairs: draw the same ones.")
    pairs = list(zip(after.hits, before.hits, strict=True))
    gains, losses = pairs.count((True, False)), pairs.count((False, True))
    value = (gains - losses) / after.n
    one, other = (each if each.clusters else replace(each, clusters=tuple(range(each.n))) for each in (after, before))
    reach = max(_quantile(level, freedom) * float(np.sqrt(variance)) for variance, freedom in _variances(one, other))
    high = _tango_end(gains, losses, after.n, level)
    low = -_tango_end(losses, gains, after.n, level)
    return Difference(value, max(-1.0, min(low, value - reach)), min(1.0, max(high, value + reach)))


def _tango_end(gains: int, losses: int, n: int, level: float) -> float:
    """Return the upper end of Tango's interval: where the score of the difference reaches the normal quantile."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.isf(level))

    def score(shift: float) -> float:
        a, b = 2 * n, -gains - losses + (2 * n - gains + losses) * shift
        q = (np.sqrt(b**2 + 4 * a * losses * shift * (1 - shift)) - b) / (2 * a)
        spread = n * (2 * q + shift * (1 - shift))
        return float((gains - losses - n * shift) / np.sqrt(spread)) + z if spread > 0 else z

    start = (gains - losses) / n
    if start >= 1 or score(1 - 1e-9) > 0:
        return 1.0
    return float(brentq(score, start, 1 - 1e-9))


def is_non_inferior(
    after: Outcomes, before: Outcomes, margin: float, level: float = LEVEL, *, paired: bool = False
) -> bool:
    """Return whether a rate fell by less than a margin, tested at `level`.

    Args:
        after: Of the edited model.
        before: Of the unedited one.
        margin: In rates, above 0.
        level: Of the test.
        paired: Are the nth pictures of both of one prompt and seed?

    Example:
        >>> all_right = Outcomes((True,) * 200)
        >>> is_non_inferior(all_right, all_right, 0.03), is_non_inferior(Outcomes((True,) * 20), all_right, 0.03)
        (True, False)
    """
    _check_margin(margin)
    difference = paired_difference if paired else rate_difference
    return difference(after, before, level).low > -margin


def excess_p_value(one: Outcomes, other: Outcomes) -> float:
    """Return the chance of such an excess, or a larger one, where one rate is no higher than another.

    The largest of Fisher's exact one, by scipy, Student's over clusters, and Student's between models if there are
    several.

    Example:
        >>> excess_p_value(Outcomes((True,) * 3 + (False,)), Outcomes((True,) + (False,) * 3)) > 0.2
        True
    """
    from scipy.stats import fisher_exact, t

    table = [[sum(each.hits), each.n - sum(each.hits)] for each in (one, other)]
    exact = float(fisher_exact(table, alternative="greater").pvalue)
    gain, variances = one.rate - other.rate, [each for each in _variances(one, other) if each[0]]
    return max([exact, *(float(t.sf(gain / np.sqrt(variance), freedom)) for variance, freedom in variances)])


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979): of those below a level, all are true but by that chance.

    Args:
        p_values: Of each test, 0 to 1.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def _residuals(one: Outcomes, other: Outcomes) -> dict[Hashable, float]:
    """Return each cluster's part of what the difference is off by."""
    parts: dict[Hashable, float] = {}
    for arm, outcomes, sign in ((1, one, 1), (2, other, -1)):
        for name, part in outcomes.residuals.items():
            key = name if outcomes.clusters is not None else (arm, name)
            parts[key] = parts.get(key, 0.0) + sign * part
    return parts


def _variances(one: Outcomes, other: Outcomes) -> list[tuple[float, float]]:
    """Return the difference's variance, and its degrees of freedom: over clusters; and between models, if several."""
    variances: list[tuple[float, float]] = [_variance(_residuals(one, other).values())]
    if one.between() or other.between():
        parts = [each.variance() for each in (one, other)]
        whole, bottom = sum(part for part, _ in parts), sum(part**2 / freedom for part, freedom in parts)
        variances.append((whole, whole**2 / bottom if bottom else 1.0))
    return variances


def _variance(residuals: Iterable[float]) -> tuple[float, int]:
    """Return the variance of a sum of clusters' residuals, and its degrees of freedom."""
    parts = np.asarray(list(residuals), dtype=np.float64)
    count = len(parts)
    return float((parts**2).sum() * count / max(1, count - 1)), max(1, count - 1)


def _quantile(level: float, freedom: float) -> float:
    from scipy.stats import t

    return float(t.isf(level, freedom))


def _newcombe(counts: Sequence[tuple[int, int]], level: float) -> tuple[float, float]:
    (p, low, high), (q, under, over) = ((hits / n, *wilson(hits, n, 1 - 2 * level)) for hits, n in counts)
    low_end = p - q - float(np.hypot(p - low, over - q))
    return low_end, p - q + float(np.hypot(high - p, q - under))


def _check_margin(margin: float) -> None:
    if not 0 < margin < 1:
        raise BadArgument(f"A margin of {margin} is not between 0 and 1: give one such as 0.05.")
