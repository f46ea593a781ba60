"""The excess recovery: how much of what the original has above a reference an attack brings back."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from turpentine.stats.equivalence import LEVEL, Outcomes, rate_difference
from turpentine.stats.intervals import Difference

DRAWS = 20_000


def recovery(edited: Outcomes, reference: Outcomes, original: Outcomes, level: float = LEVEL) -> Difference | None:
    """Return the excess recovery R = (edited − reference) / (original − reference) with its 95 % interval.

    Percentiles of draws of the three rates from their posteriors, Beta(h + ½, n − h + ½) of effective counts. R is 0
    where an attack brings back what it creates by itself, and 1 where it brings back all that the original has.

    Args:
        edited: What an attack brings out of the edited model.
        reference: Out of a model that never knew it.
        original: Out of the unedited model.
        level: What the interval leaves out.

    Returns:
        None where the original is not above the reference beyond chance: there is then nothing to recover.

    Example:
        >>> half, none, whole = (Outcomes((True,) * hits + (False,) * (100 - hits)) for hits in (50, 0, 100))
        >>> round(recovery(half, none, whole).value, 2), recovery(half, none, none)
        (0.5, None)
    """
    if rate_difference(original, reference, level / 2).low <= 0:
        return None
    value = (edited.rate - reference.rate) / (original.rate - reference.rate)
    rng = np.random.default_rng(0)
    top, base, whole = (_posterior(each, rng) for each in (edited, reference, original))
    room = whole - base
    ratios = np.where(room > 0, (top - base) / np.where(room > 0, room, 1.0), np.inf)
    low, high = np.quantile(ratios, [level / 2, 1 - level / 2], method="nearest")
    return Difference(float(value), float(min(low, value)), float(max(high, value)))


def _posterior(outcomes: Outcomes, rng: np.random.Generator) -> Float[np.ndarray, " draw"]:
    n = outcomes.effective()
    draws: Float[np.ndarray, " draw"] = rng.beta(outcomes.rate * n + 0.5, (1 - outcomes.rate) * n + 0.5, size=DRAWS)
    return draws
