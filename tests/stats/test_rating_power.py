"""The power of a study against studies that are simulated."""

from __future__ import annotations

import numpy as np
import pytest

from turpentine.core.errors import BadArgument
from turpentine.stats.rating_power import detectable_difference, rating_power


def test_power_is_how_often_a_simulated_study_shows_it() -> None:
    rng = np.random.default_rng(0)
    items, ratings, sd, icc, difference, studies = 20, 4, 1.2, 0.3, 0.6, 4000
    means = []
    for shift in (difference, 0.0):
        of_items = rng.normal(size=(studies, items, 1)) * sd * np.sqrt(icc)
        rest = rng.normal(size=(studies, items, ratings)) * sd * np.sqrt(1 - icc)
        means.append((of_items + rest + shift).mean((1, 2)))
    error = np.sqrt(2 * sd**2 * (1 + (ratings - 1) * icc) / (items * ratings))
    shown_rate = (np.abs(means[0] - means[1]) > 1.959964 * error).mean()
    assert rating_power(difference, items, ratings, sd, icc) == pytest.approx(shown_rate, abs=0.025)


def test_a_detectable_difference_has_that_power() -> None:
    difference = detectable_difference(30, 5, 1.0, 0.2, power=0.9)
    assert rating_power(difference, 30, 5, 1.0, 0.2) == pytest.approx(0.9, abs=1e-6)


def test_more_ratings_of_few_pictures_help_little() -> None:
    assert detectable_difference(10, 100, 1.2, 0.3) > detectable_difference(100, 10, 1.2, 0.3)


@pytest.mark.parametrize("wrong", [(0, 1, 1.0, 0.5), (1, 0, 1.0, 0.5), (1, 1, 0.0, 0.5), (1, 1, 1.0, 1.5)])
def test_what_cannot_be_is_refused(wrong: tuple[int, int, float, float]) -> None:
    with pytest.raises(BadArgument):
        detectable_difference(*wrong)
