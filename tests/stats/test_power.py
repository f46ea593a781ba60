"""Sample sizes: published ones, and the exact power by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from turpentine.core.errors import BadArgument
from turpentine.stats.equivalence import Outcomes, equivalence
from turpentine.stats.power import (
    equivalence_power,
    pictures_by_formula,
    pictures_for_equivalence,
    pictures_for_excess,
    pictures_to_be_alike,
)


def test_the_formula_gives_the_field_s_sizes() -> None:
    """Chow, Shao and Wang (2008), 4.2.3: equal rates of .75, margin .2, power .8 with one arm each: 80 a side."""
    assert pictures_by_formula(0.75, 0.2) == 81  # 80.3; the book has 2.92² for 2.926²
    assert pictures_by_formula(0.05, 0.05) == 326 and pictures_by_formula(0.05, 0.05, 0.9) == 412


@pytest.mark.parametrize(("n", "rate", "other"), [(120, 0.02, 0.02), (200, 0.05, 0.02), (70, 0.0, 0.0)])
def test_the_exact_power_is_how_often_the_test_passes(n: int, rate: float, other: float) -> None:
    rng, runs, passed = np.random.default_rng(0), 200, 0
    for _ in range(runs):
        arms = [Outcomes(tuple((rng.random(n) < each).tolist())) for each in (rate, other)]
        passed += equivalence(*arms, 0.05).holds
    power = equivalence_power(n, rate, other, 0.05)
    assert passed / runs == pytest.approx(power, abs=3.5 * np.sqrt(0.25 / runs))


def test_a_false_claim_is_rare_at_every_rate() -> None:
    """Newcombe's interval is approximate: a claim at the margin itself is false in little over 5 % of runs."""
    worst = max(
        equivalence_power(n, rate, rate + 0.05, 0.05) for n in (60, 150, 342, 411) for rate in (0.0, 0.02, 0.05, 0.2)
    )
    assert worst < 0.056


def test_the_exact_size_is_the_least_with_the_power() -> None:
    for rate in (0.0, 0.02, 0.05):
        n = pictures_for_equivalence(rate, 0.05)
        assert equivalence_power(n, rate, rate, 0.05) >= 0.8 > equivalence_power(n - 1, rate, rate, 0.05)
    assert pictures_for_equivalence(0.05, 0.05, effect=2.0) == 2 * pictures_for_equivalence(0.05, 0.05)
    assert pictures_for_equivalence(0.5, 0.01) == pictures_by_formula(0.5, 0.01)


def test_an_excess_is_shown_as_often_as_its_size_promises() -> None:
    rng, n = np.random.default_rng(0), pictures_for_excess(0.5, 0.25)
    counts = rng.binomial(n, [[0.5], [0.25]], size=(2, 4000)) / n
    spread = np.sqrt((counts * (1 - counts)).sum(0) / n)
    assert ((counts[0] - counts[1]) / spread > 1.645).mean() == pytest.approx(0.8, abs=0.04)
    assert pictures_for_excess(0.5, 0.4) > pictures_for_excess(0.5, 0.25)


def test_what_has_no_size_is_refused() -> None:
    with pytest.raises(BadArgument, match="no sample size"):
        pictures_for_excess(0.2, 0.2)
    with pytest.raises(BadArgument, match="no sample size for a rate of 2"):
        pictures_for_equivalence(2, 0.05)


def test_pairs_that_never_differ_take_few_pictures_and_those_that_hang_on_nothing_as_many_as_two_arms() -> None:
    rng = np.random.default_rng(0)
    one, other = (Outcomes(tuple((rng.random(4_000) < 0.2).tolist())) for _ in range(2))
    assert pictures_to_be_alike(one, one, 0.05) == pictures_for_equivalence(0.0, 0.05)
    lone = pictures_to_be_alike(one, Outcomes(other.hits[:-1]), 0.05)
    assert pictures_to_be_alike(one, other, 0.05) == pytest.approx(lone, rel=0.1)
    prompts = tuple(number // 10 for number in range(4_000))
    bent, none = (Outcomes(tuple(number % 20 < hits for number in range(4_000)), prompts) for hits in (10, 0))
    assert pictures_to_be_alike(bent, none, 0.05) > 5 * pictures_for_equivalence(0.5, 0.05)
