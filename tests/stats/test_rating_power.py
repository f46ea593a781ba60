"""The power of a study against studies that are simulated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from turpentine.core.errors import BadArgument
from turpentine.stats.bradley_terry import Choice, fit_strengths
from turpentine.stats.rating_power import (
    detectable_difference,
    detectable_preference,
    preference_power,
    rating_power,
    strength_errors,
)


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


def test_the_power_of_choices_is_how_often_a_simulated_study_shows_a_preference() -> None:
    """Davidson's outcomes of three conditions, where the two that are compared least are looked at."""
    rng = np.random.default_rng(1)
    pairs = {("a", "b"): 12, ("b", "c"): 12, ("a", "c"): 4}
    ratings, ties, preference, studies = 5, 0.2, 0.68, 100
    strengths = {"a": np.log(preference / (1 - preference)), "b": 0.2, "c": 0.0}
    nu = 2 * ties / (1 - ties)
    shown_count = 0
    for _ in range(studies):
        choices = []
        for (one, other), count in pairs.items():
            odds = np.exp([strengths[one], strengths[other], (strengths[one] + strengths[other]) / 2 + np.log(nu)])
            for outcome in rng.choice(["left", "right", "tie"], size=count * ratings, p=odds / odds.sum()):
                choices.append(Choice(one, other, outcome, len(choices)))
        fit = fit_strengths(choices, sides=False).strengths
        error = strength_errors(pairs, ratings, ties, 0.0)["a", "c"]
        shown_count += abs(fit["a"].value - fit["c"].value) > 1.959964 * error
    assert preference_power(preference, error) == pytest.approx(shown_count / studies, abs=0.1)


def test_a_detectable_preference_has_that_power_and_one_of_two_is_a_binomial_test() -> None:
    [error] = strength_errors({("a", "b"): 40}, 5, 0.0, 0.0).values()
    assert error == pytest.approx(2 / np.sqrt(200))  # of a logit at one half
    assert preference_power(detectable_preference(error, 0.9), error) == pytest.approx(0.9, abs=1e-6)
    [of_100] = strength_errors({("a", "b"): 100}, 1, 0.0, 0.0).values()
    by_chance = binom(100, 0.5)
    exact = sum(binom(100, 0.65).pmf(n) for n in range(101) if 2 * min(by_chance.cdf(n), by_chance.sf(n - 1)) < 0.05)
    assert preference_power(0.65, of_100) == pytest.approx(exact, abs=0.05)


def test_pairs_that_no_chain_joins_show_nothing_and_answers_to_one_pair_count_less() -> None:
    errors = strength_errors({("a", "b"): 10, ("c", "d"): 10}, 2, 0.0, 0.0)
    assert errors["a", "c"] == np.inf and np.isfinite(errors["a", "b"])
    assert preference_power(0.9, errors["a", "c"]) == 0 and detectable_preference(errors["a", "c"]) == 1
    alike = strength_errors({("a", "b"): 10}, 5, 0.0, 1.0)
    assert alike["a", "b"] == pytest.approx(strength_errors({("a", "b"): 10}, 1, 0.0, 0.0)["a", "b"])


@pytest.mark.parametrize("wrong", [(0, 0.0, 0.0), (1, 1.0, 0.0), (1, 0.0, 2.0)])
def test_choices_that_cannot_be_are_refused(wrong: tuple[int, float, float]) -> None:
    with pytest.raises(BadArgument):
        strength_errors({("a", "b"): 1}, *wrong)
    with pytest.raises(BadArgument, match="preference"):
        preference_power(0.4, 0.2)
