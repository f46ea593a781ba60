"""Krippendorff's α against the package krippendorff, on its author's example and on ratings with gaps."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turpentine.core.errors import BadArgument
from turpentine.stats.agreement import Metric, alpha_with_interval, krippendorff_alpha

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units.
OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 * * *",
    "1 2 3 3 2 2 4 1 2 5 * 3",
    "* 3 3 3 2 3 4 2 2 5 1 *",
    "1 2 3 3 2 4 4 1 2 5 1 *",
)


def units_of(rows: np.ndarray) -> dict[int, list[float]]:
    return {unit: [float(each) for each in column if not np.isnan(each)] for unit, column in enumerate(rows.T)}


@pytest.mark.parametrize(("metric", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_its_authors_example(metric: Metric, published: float) -> None:
    rows = np.array([[np.nan if each == "*" else float(each) for each in row.split()] for row in OBSERVERS])
    alpha = krippendorff_alpha(units_of(rows), metric)
    assert round(alpha, 3) == published
    assert alpha == pytest.approx(krippendorff.alpha(reliability_data=rows, level_of_measurement=metric))


@given(st.integers(0, 10_000), st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_is_that_of_another_package(seed: int, metric: Metric) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 6, size=(4, 8)).astype(float)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    if sum(len(each) > 1 for each in units_of(rows).values()) > 1:
        assert krippendorff_alpha(units_of(rows), metric) == pytest.approx(
            krippendorff.alpha(reliability_data=rows, level_of_measurement=metric)
        )


def test_an_interval_is_around_the_value_and_narrows_with_units() -> None:
    rng = np.random.default_rng(0)
    units = {
        unit: [float(each) for each in np.clip(rng.normal(unit % 5 + 1, 0.7, size=3).round(), 1, 5)]
        for unit in range(60)
    }
    whole = alpha_with_interval(units, "interval", rounds=100)
    few = alpha_with_interval(dict(list(units.items())[:15]), "interval", rounds=100)
    assert whole.low < whole.value < whole.high
    assert few.high - few.low > whole.high - whole.low


@pytest.mark.parametrize("units", [{}, {"a": [1.0]}, {"a": [2.0, 2.0], "b": [2.0, 2.0]}])
def test_without_anything_to_agree_on_there_is_no_interval(units: dict[str, list[float]]) -> None:
    with pytest.raises(BadArgument, match="no agreement to speak of"):
        alpha_with_interval(units)
