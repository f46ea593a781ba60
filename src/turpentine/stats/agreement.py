"""How far people agree beyond chance: Krippendorff's α, for any number of raters and with answers missing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from turpentine.core.errors import BadArgument
from turpentine.stats.clusters import expanded_tail
from turpentine.stats.intervals import CONFIDENCE, Estimate

Metric = Literal["nominal", "ordinal", "interval"]
Units: TypeAlias = Mapping[Hashable, Sequence[float]]
"""The answers to each unit, such as the ratings of each picture; who gave which does not matter."""

ROUNDS = 500


def krippendorff_alpha(units: Units, metric: Metric = "nominal") -> float:
    """Return α = 1 − observed disagreement / expected disagreement (Krippendorff 2018, chapter 12).

    The coincidence o_ck sums, over units of m answers, pairs of answers c and k by different people, each over m − 1;
    n_c are its margins. α = 1 − (n − 1) Σ o_ck δ²_ck / Σ n_c n_k δ²_ck, where δ² is 1 for different answers (nominal),
    (c − k)² (interval), or (Σ_{c ≤ g ≤ k} n_g − (n_c + n_k)/2)² (ordinal).

    Args:
        units: Answers by unit; a unit of one answer says nothing.
        metric: How answers differ.

    Returns:
        1 where all agree, 0 where they agree as often as by chance, below 0 where less; NaN where all answers are one
        and the same, or no unit has two.

    Example:
        >>> krippendorff_alpha({"a": [1, 1], "b": [2, 2]})
        1.0
        >>> round(krippendorff_alpha({"a": [1, 2], "b": [2, 2], "c": [3, 3]}, "interval"), 3)
        0.706
    """
    several = [list(answers) for answers in units.values() if len(answers) > 1]
    values = sorted({each for answers in several for each in answers})
    if len(values) < 2:
        return float("nan")
    coincidence = np.zeros((len(values), len(values)))
    for answers in several:
        counts = np.array([answers.count(each) for each in values], dtype=np.float64)
        coincidence += (np.outer(counts, counts) - np.diag(counts)) / (len(answers) - 1)
    margins = coincidence.sum(1)
    distance = _DISTANCES[metric](np.array(values, dtype=np.float64), margins)
    expected = float(np.outer(margins, margins).ravel() @ distance.ravel())
    return float(1 - (margins.sum() - 1) * (coincidence.ravel() @ distance.ravel()) / expected)


def alpha_with_interval(
    units: Units, metric: Metric = "nominal", *, rounds: int = ROUNDS, seed: int = 0, confidence: float = CONFIDENCE
) -> Estimate:
    """Return α with the expanded percentile bootstrap over units.

    Args:
        units: Answers by unit.
        metric: How answers differ.
        rounds: Resamples; those in which all answers are alike have no α, and are left out.
        seed: Of the resamples.
        confidence: Of the interval.

    Raises:
        BadArgument: There is no α: no unit has two answers, or all are alike.
    """
    value = krippendorff_alpha(units, metric)
    if np.isnan(value):
        raise BadArgument("There is no agreement to speak of: no unit has two answers, or all answers are alike.")
    several = [answers for answers in units.values() if len(answers) > 1]
    rng = np.random.default_rng(seed)

    def resample() -> float:
        rows = rng.integers(len(several), size=len(several))
        return krippendorff_alpha(dict(enumerate(several[row] for row in rows)), metric)

    return Estimate(value, *percentiles(resample, rounds, len(several), confidence))


def percentiles(resample: Callable[[], float], rounds: int, clusters: int, confidence: float) -> tuple[float, float]:
    """Return the expanded percentiles of a statistic's resamples; see `expanded_tail`.

    Args:
        resample: Returns the statistic of a new resample, NaN where it has none.
        rounds: Resamples.
        clusters: How many units are resampled.
        confidence: Of the interval.
    """
    tail = 100 * expanded_tail(confidence, clusters)
    values = [resample() for _ in range(rounds)]
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _nominal(values: Float[np.ndarray, " value"], margins: Float[np.ndarray, " value"]) -> Float[np.ndarray, "_ _"]:
    return 1 - np.eye(len(values))


def _interval(values: Float[np.ndarray, " value"], margins: Float[np.ndarray, " value"]) -> Float[np.ndarray, "_ _"]:
    return np.asarray((values[:, None] - values[None, :]) ** 2)


def _ordinal(values: Float[np.ndarray, " value"], margins: Float[np.ndarray, " value"]) -> Float[np.ndarray, "_ _"]:
    middle = np.cumsum(margins) - margins / 2
    return np.asarray((middle[:, None] - middle[None, :]) ** 2)


_DISTANCES = {"nominal": _nominal, "ordinal": _ordinal, "interval": _interval}
