"""What a rate would be if the judge made no mistakes (Rogan and Gladen 1978), and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from turpentine.core.errors import BadArgument
from turpentine.stats.equivalence import Outcomes
from turpentine.stats.intervals import CONFIDENCE, Estimate, Rate


@dataclass(frozen=True)
class JudgeError:
    """How often a judge is right, from labelled pictures, counted before anything is edited.

    Args:
        sensitivity: Of pictures that show the concept, how many it says so of.
        specificity: Of pictures that do not, how many it says so of.

    Raises:
        BadArgument: It is no better than chance: no rate can be corrected by it.

    Example:
        >>> JudgeError(Rate(95, 100), Rate(99, 100)).youden
        0.94
    """

    sensitivity: Rate
    specificity: Rate

    def __post_init__(self) -> None:
        if self.youden <= 0:
            raise BadArgument(
                f"A judge that sees {self.sensitivity.value:.0%} of what is there, and "
                f"{1 - self.specificity.value:.0%} of what is not, is no better than chance: take another one."
            )

    @property
    def youden(self) -> float:
        """Sensitivity + specificity − 1: by it a true difference of rates shrinks to the one that is seen."""
        return round(self.sensitivity.value + self.specificity.value - 1, 12)

    @property
    def least_youden(self) -> float:
        """The same at the lower ends of both intervals, and no less than 0."""
        return max(0.0, self.sensitivity.low + self.specificity.low - 1)


def corrected_rate(outcomes: Outcomes, judge: JudgeError, confidence: float = CONFIDENCE) -> Estimate:
    """Return the true rate behind a judged one, (p̂ + sp − 1)/(se + sp − 1), with an interval.

    The interval is Lang and Reiczigel's (2014, "Confidence limits for prevalence of disease adjusted for estimated
    sensitivity and specificity"), which has the uncertainty of all three, here of effective counts of pictures.

    Args:
        outcomes: As judged.
        judge: How often it is right.
        confidence: Of the interval.

    Returns:
        The rate and its interval, each cut to 0 to 1.

    Example:
        >>> rate = corrected_rate(Outcomes((True,) * 20 + (False,) * 80), JudgeError(Rate(90, 100), Rate(90, 100)))
        >>> f"{rate.value:.3f}"
        '0.125'
    """
    from scipy.stats import norm

    z, n = norm.isf((1 - confidence) / 2), outcomes.effective()
    value = (outcomes.rate + judge.specificity.value - 1) / judge.youden
    size = n + z**2
    p = (n * outcomes.rate + z**2 / 2) / size
    (se, se_n), (sp, sp_n) = _adjusted(judge.sensitivity), _adjusted(judge.specificity)
    room = se + sp - 1
    if room <= 0:
        return Estimate(min(1.0, max(0.0, value)), 0.0, 1.0)
    centre = (p + sp - 1) / room
    shift = 2 * z**2 * (centre * (1 - se) * se / se_n - (1 - centre) * (1 - sp) * sp / sp_n)
    terms = p * (1 - p) / size + centre**2 * se * (1 - se) / se_n + (1 - centre) ** 2 * sp * (1 - sp) / sp_n
    reach = z * np.sqrt(terms) / room
    ends = np.clip([value, centre + shift - reach, centre + shift + reach], 0.0, 1.0)
    return Estimate(*(float(end) for end in ends))


def _adjusted(rate: Rate) -> tuple[float, int]:
    return (rate.hits + 1) / (rate.n + 2), rate.n + 2
