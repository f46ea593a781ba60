"""Two rates: published intervals, independent transcriptions, and the chance of a false claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from turpentine.core.errors import BadArgument
from turpentine.stats.equivalence import (
    Outcomes,
    are_pairs,
    equivalence,
    excess_p_value,
    holm,
    is_non_inferior,
    paired_difference,
    pooled,
    rate_difference,
)
from turpentine.stats.recovery import recovery


def outcomes(hits: int, n: int) -> Outcomes:
    return Outcomes((True,) * hits + (False,) * (n - hits))


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((5, 56), (0, 29), -0.0381, 0.1926)],
)
def test_intervals_reach_as_far_as_newcombes_table_2_at_least(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe (1998), method 10; the wider of two, so one end is his and the other may be Student's."""
    difference = rate_difference(outcomes(*one), outcomes(*other), 0.025)
    assert difference.low == pytest.approx(low, abs=6e-5)
    assert difference.high >= high - 6e-5 and difference.high - high < 0.17


def test_student_over_prompts_is_the_paired_interval_where_arms_share_them() -> None:
    """An independent run: the t interval of the prompts' differences."""
    rng = np.random.default_rng(0)
    rates = rng.uniform(size=12)
    one, other = (rng.random((12, 10)) < rates[:, None] for _ in range(2))
    prompts = tuple(number for number in range(12) for _ in range(10))
    arms = [Outcomes(tuple(arm.ravel().tolist()), prompts) for arm in (one, other)]
    by_prompt = one.mean(1) - other.mean(1)
    from scipy.stats import t

    reach = t.isf(0.05, 11) * by_prompt.std(ddof=1) / np.sqrt(12)
    difference = rate_difference(*arms)
    assert difference.value == pytest.approx(by_prompt.mean())
    assert difference.low <= by_prompt.mean() - reach + 1e-12 and difference.high >= by_prompt.mean() + reach - 1e-12
    apart = rate_difference(arms[0], Outcomes(arms[1].hits, tuple(f"other {name}" for name in prompts)))
    assert apart.high - apart.low > difference.high - difference.low  # other prompts are another source of chance


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(30, 60), st.sampled_from([0.01, 0.05, 0.2]))
def test_a_difference_turned_round_is_its_negative(one: int, other: int, n: int, level: float) -> None:
    here, there = rate_difference(outcomes(one, n), outcomes(other, 31), level), None
    there = rate_difference(outcomes(other, 31), outcomes(one, n), level)
    assert here.value == pytest.approx(-there.value) and here.low == pytest.approx(-there.high)
    assert here.low <= here.value <= here.high


def test_clusters_cost_pictures_and_never_give_any() -> None:
    alike = Outcomes((True, True, False, False) * 4, ("a", "a", "b", "b", "c", "c", "d", "d") * 2)
    assert alike.effective() < 16 and outcomes(4, 16).effective() == 16
    spread = Outcomes((True, False) * 8, tuple(number // 2 for number in range(16)))  # evener than chance
    assert spread.effective() == 16


def test_a_false_equivalence_and_a_missed_one_are_as_rare_as_promised_also_over_prompts() -> None:
    """Rates that are the margin apart pass in 5 % of runs at most, be prompts alike or not."""
    rng = np.random.default_rng(1)
    prompts = tuple(number for number in range(40) for _ in range(9))
    for spread in (2.0, 500.0):
        false = correct = 0
        for _ in range(100):
            rates = rng.beta(0.05 * spread, 0.95 * spread, size=40)
            base = Outcomes(tuple((rng.random((40, 9)) < rates[:, None]).ravel().tolist()), prompts)
            same = Outcomes(tuple((rng.random((40, 9)) < rates[:, None]).ravel().tolist()), prompts)
            more = rng.beta(0.10 * spread, 0.90 * spread, size=40)
            worse = Outcomes(tuple((rng.random((40, 9)) < more[:, None]).ravel().tolist()), prompts)
            false += equivalence(worse, base, 0.05).holds
            correct += equivalence(same, base, 0.05).holds
        assert false <= 0.05 * 100 + 2 * np.sqrt(100 * 0.05 * 0.95)
        assert correct >= 0.5 * 100


def test_pairs_that_are_alike_show_more_and_are_no_more_often_wrong() -> None:
    """Two arms that share seven pictures of ten: rates that are the margin apart still pass in 5 % of runs at most."""
    rng, n, runs = np.random.default_rng(3), 342, 200
    false = paired = apart = 0
    for _ in range(runs):
        same, here, there = rng.random(n) < 0.7, rng.random(n), rng.random(n)
        there = np.where(same, here, there)
        drawn = ((here, 0.3), (there, 0.3), (there, 0.35))
        base, alike, more = (Outcomes(tuple((chance < rate).tolist())) for chance, rate in drawn)
        false += equivalence(more, base, 0.05, paired=True).holds
        paired += equivalence(alike, base, 0.05, paired=True).holds
        apart += equivalence(alike, base, 0.05).holds
    assert false <= 0.05 * runs + 2 * np.sqrt(runs * 0.05 * 0.95)
    assert paired > apart + 0.3 * runs


def test_arms_are_pairs_where_one_model_drew_each_and_the_prompts_are_the_same() -> None:
    named, same, turned = (Outcomes((True, False), prompts) for prompts in (("a", "b"), ("a", "b"), ("b", "a")))
    assert are_pairs(named, same) and not are_pairs(named, turned)
    assert not are_pairs(outcomes(4, 8), pooled([outcomes(2, 4), outcomes(2, 4)]))


def test_non_inferiority_looks_at_a_fall_only() -> None:
    assert is_non_inferior(outcomes(190, 200), outcomes(100, 200), 0.03)
    assert not is_non_inferior(outcomes(180, 200), outcomes(190, 200), 0.03)


def test_an_excess_is_fishers_and_less_sure_over_prompts() -> None:
    """Fisher's tea: 3 of 4 cups right, 0.243 (Agresti 2002, section 3.5.2)."""
    assert excess_p_value(outcomes(3, 4), outcomes(1, 4)) == pytest.approx(0.243, abs=5e-4)
    hits, misses = (True,) * 10, (False,) * 10
    one, other = Outcomes(hits + misses * 3, ("a",) * 10 + ("b",) * 30), outcomes(0, 40)
    assert excess_p_value(one, other) > excess_p_value(outcomes(10, 40), other)


def test_holm_is_as_printed() -> None:
    """The example of R's p.adjust, run by hand: sorted p times 4, 3, 2, 1, never falling."""
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


def test_recovery_covers_the_truth_and_is_nothing_without_room() -> None:
    rng, covered, runs = np.random.default_rng(2), 0, 100
    for _ in range(runs):
        edited, reference, original = (Outcomes(tuple((rng.random(150) < rate).tolist())) for rate in (0.41, 0.02, 0.8))
        ratio = recovery(edited, reference, original)
        assert ratio is not None
        covered += ratio.low <= 0.5 <= ratio.high
    assert covered / runs > 0.91
    assert recovery(outcomes(1, 50), outcomes(0, 50), outcomes(2, 50)) is None
    whole = recovery(outcomes(50, 50), outcomes(0, 50), outcomes(50, 50))
    assert whole is not None and whole.value == 1 and whole.low > 0.85


def test_a_recovery_over_prompts_is_less_sure() -> None:
    prompts = tuple(number // 10 for number in range(100))
    hits = tuple(number < 50 for number in range(100))
    sure, unsure = (
        recovery(Outcomes(hits, clusters), outcomes(0, 100), outcomes(100, 100)) for clusters in (None, prompts)
    )
    assert sure is not None and unsure is not None and unsure.high - unsure.low > sure.high - sure.low


def test_what_is_no_rate_or_no_margin_is_refused() -> None:
    with pytest.raises(BadArgument, match="no rate of no pictures"):
        Outcomes(())
    with pytest.raises(BadArgument, match="2 clusters for 1 outcomes"):
        Outcomes((True,), ("a", "b"))
    with pytest.raises(BadArgument, match="margin of 0"):
        equivalence(outcomes(1, 2), outcomes(1, 2), 0.0)


def test_the_quantile_of_many_pictures_is_the_normal_one() -> None:
    one, other = outcomes(1600, 4_000), outcomes(1560, 4_000)
    reach = norm.isf(0.05) * np.sqrt(0.4 * 0.6 / 4e3 + 0.39 * 0.61 / 4e3)
    assert rate_difference(one, other).high == pytest.approx(0.01 + reach, abs=2e-4)


def test_models_that_differ_widen_the_interval_and_models_that_agree_do_not() -> None:
    """The variance between models by hand: of three rates 0, 0.1 and 0.2, with two degrees of freedom."""
    edited = outcomes(20, 200)
    apart = pooled([outcomes(0, 200), outcomes(20, 200), outcomes(40, 200)])
    alike = pooled([outcomes(20, 200)] * 3)
    assert apart.n == 600 and apart.rate == pytest.approx(0.1) and apart.models == (0,) * 200 + (1,) * 200 + (2,) * 200
    variance, freedom = apart.between() or (0, 0)
    assert (variance, freedom) == (pytest.approx(np.var([0, 0.1, 0.2], ddof=1) / 3), 2)
    narrow, wide = (rate_difference(edited, each) for each in (alike, apart))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert equivalence(edited, alike, 0.05).holds and not equivalence(edited, apart, 0.05).holds
    assert excess_p_value(outcomes(45, 200), apart) > 0.05 > excess_p_value(outcomes(45, 200), alike)
    assert apart.effective() < 60 < alike.effective() == pytest.approx(600)


def test_one_model_is_pooled_as_it_is_and_prompts_stay() -> None:
    one = Outcomes((True, False), ("a", "b"))
    assert pooled([one]) is one and one.between() is None
    assert pooled([one, one]).clusters == ("a", "b", "a", "b")
    with pytest.raises(BadArgument, match="1 models for 2 outcomes"):
        Outcomes((True, False), None, (0,))


@pytest.mark.parametrize(("gains", "losses", "n"), [(0, 0, 60), (3, 9, 50), (12, 1, 40), (0, 30, 30), (5, 5, 200)])
def test_ends_for_pairs_are_where_tangos_score_reaches_the_quantile(gains: int, losses: int, n: int) -> None:
    """An independent run: the restricted maximum by a search over the multinomial likelihood."""
    from scipy.optimize import minimize_scalar

    alike = n - gains - losses
    after = Outcomes((True,) * gains + (False,) * losses + (True,) * alike)
    before = Outcomes((False,) * gains + (True,) * losses + (True,) * alike)
    difference = paired_difference(after, before, 0.025)
    assert difference.value == pytest.approx((gains - losses) / n)
    turned = paired_difference(before, after, 0.025)
    assert (turned.low, turned.high) == pytest.approx((-difference.high, -difference.low))
    for end in (difference.low, difference.high):
        if abs(end) >= 1 - 1e-6:
            continue

        def likelihood(q: float, end: float = end) -> float:
            cells = ((gains, q + end), (losses, q), (alike, 1 - 2 * q - end))
            return -sum(count * np.log(max(share, 1e-300)) for count, share in cells if count)

        low, high = max(0.0, -end), (1 - end) / 2
        q = float(minimize_scalar(likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x)
        score = (gains - losses - n * end) / np.sqrt(n * (2 * q + end * (1 - end)))
        assert abs(score) >= norm.isf(0.025) - 1e-3  # or Student's reaches further


def test_pairs_that_are_alike_show_what_as_many_pictures_apart_do_not() -> None:
    """Every tenth picture is missed, and by both models alike: the fall is none, and known to 3 points."""
    both = outcomes(90, 100)
    assert is_non_inferior(both, both, 0.03, paired=True) and not is_non_inferior(both, both, 0.03)
    with pytest.raises(BadArgument, match="100 pictures after and 90 before are no pairs"):
        paired_difference(both, outcomes(90, 90))
