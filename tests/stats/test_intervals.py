from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from turpentine.core.errors import BadArgument
from turpentine.stats import intervals
from turpentine.stats.intervals import Rate, mean_score, paired_bootstrap, paired_means, set_distance, wilson
from turpentine.stats.set_distances import fid

# Newcombe, Statistics in Medicine 17 (1998), Table I, method 3.
NEWCOMBE = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("hits", "n", "low", "high"), NEWCOMBE)
def test_wilson_gives_the_published_values(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_solves_its_defining_equation(trial: tuple[int, int]) -> None:
    """Its ends are the rates π from which hits/n is just z standard errors of π away: (p − π)² = z²·π(1 − π)/n."""
    hits, n = trial
    z = 1.959963984540054
    for end in wilson(hits, n):
        assert (hits / n - end) ** 2 == pytest.approx(z * z * end * (1 - end) / n, abs=1e-12)


def test_wilson_is_its_closed_form() -> None:
    z = NormalDist().inv_cdf(0.975)
    for n in (1, 2, 7, 60, 2000):
        for hits in {0, 1, n // 3, n - 1, n}:
            p = hits / n
            middle, reach = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
            expected = [(middle + sign * reach) / (1 + z * z / n) for sign in (-1, 1)]
            assert wilson(hits, n) == pytest.approx(expected, abs=1e-12)
        assert wilson(0, n)[0] == 0 and wilson(n, n)[1] == 1, "exactly"


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate_stays_in_range_and_mirrors(trial: tuple[int, int]) -> None:
    hits, n = trial
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low))


def test_less_confidence_is_narrower() -> None:
    low, high = wilson(5, 10)
    assert low < wilson(5, 10, 0.5)[0] < 0.5 < wilson(5, 10, 0.5)[1] < high


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_rate_is_an_error(hits: int, n: int) -> None:
    with pytest.raises(BadArgument, match="no rate"):
        wilson(hits, n)


def test_a_confidence_out_of_range_is_an_error() -> None:
    for confidence in (0, 1, 95):
        with pytest.raises(BadArgument, match="confidence"):
            wilson(1, 2, confidence)


def test_a_rate_tells_its_value_and_interval() -> None:
    rate = Rate.of([True, False, True, True])
    assert rate == Rate(3, 4)
    assert rate is not None
    assert (rate.value, (rate.low, rate.high)) == (0.75, wilson(3, 4))
    assert Rate.of([]) is None


def exact_bootstrap(change: list[int]) -> dict[float, float]:
    """The distribution of the mean of a resample, by listing all n^n resamples."""
    n = len(change)
    found: dict[float, float] = {}
    for sample in itertools.product(change, repeat=n):
        mean = sum(sample) / n
        found[mean] = found.get(mean, 0) + n**-n
    return found


def test_the_bootstrap_agrees_with_all_resamples_listed() -> None:
    before, after = [True, True, True, True, False, False], [False, False, True, True, True, False]
    change = [a - b for a, b in zip(after, before, strict=True)]
    exact = sorted(exact_bootstrap(change).items())
    cumulated = list(itertools.accumulate(p for _, p in exact))
    low, high = (next(v for (v, _), c in zip(exact, cumulated, strict=True) if c >= q) for q in (0.025, 0.975))
    found = paired_bootstrap(before, after)
    assert found.value == pytest.approx(sum(change) / 6)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_the_bootstrap_agrees_with_the_normal_approximation_for_many_pairs() -> None:
    rng = np.random.default_rng(1)
    before = (rng.random(4000) < 0.8).tolist()
    after = [b and bool(r < 0.7) for b, r in zip(before, rng.random(4000), strict=True)]
    change = np.array(after, int) - np.array(before, int)
    reach = 1.96 * change.std() / math.sqrt(4000)
    found = paired_bootstrap(before, after)
    assert found.low == pytest.approx(change.mean() - reach, abs=1e-3)
    assert found.high == pytest.approx(change.mean() + reach, abs=1e-3)


def test_pairing_matters() -> None:
    """The same rates, but fewer pictures changed sides: the interval is narrower."""
    before = [True] * 50 + [False] * 50
    same = [False] * 10 + [True] * 40 + [False] * 50
    mixed = [False] * 40 + [True] * 10 + [True] * 30 + [False] * 20
    paired, shuffled = paired_bootstrap(before, same), paired_bootstrap(before, mixed)
    assert paired.value == shuffled.value == pytest.approx(-0.1)
    assert paired.high - paired.low < (shuffled.high - shuffled.low) / 2


@pytest.mark.parametrize(("before", "after", "value"), [(True, False, -1), (True, True, 0), (False, True, 1)])
def test_pairs_that_all_changed_alike_still_leave_room(before: bool, after: bool, value: int) -> None:
    found = paired_bootstrap([before] * 8, [after] * 8)
    room = 1 - wilson(8, 8)[0]
    assert found.value == value
    assert all(isinstance(each, float) for each in found), "a column of these is one of numbers with a point"
    assert (found.low, found.high) == pytest.approx((max(-1, value - room), min(1, value + room)))
    assert found.high - found.low > 0.3


def test_the_same_seed_gives_the_same_interval() -> None:
    before, after = [True, False] * 20, [True, True, False, False] * 10
    assert paired_bootstrap(before, after, seed=3) == paired_bootstrap(before, after, seed=3)


def test_what_is_no_pair_is_an_error() -> None:
    for before, after in (([], []), ([True], [True, False])):
        with pytest.raises(BadArgument, match="no pairs"):
            paired_bootstrap(before, after)


def test_the_paired_bootstrap_agrees_with_scipys() -> None:
    rng = np.random.default_rng(4)
    before, after = (rng.random(100) < 0.5).tolist(), (rng.random(100) < 0.6).tolist()

    def difference(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(y, axis=axis) - np.mean(x, axis=axis)

    pairs = (np.array(before, float), np.array(after, float))
    theirs = bootstrap(pairs, difference, paired=True, n_resamples=10_000, method="percentile", rng=rng)
    ours = paired_bootstrap(before, after)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.0151)


def test_the_interval_of_a_mean_is_that_of_a_plain_loop() -> None:
    scores = np.random.default_rng(5).normal(size=30)
    rng = np.random.default_rng(7)
    means = [scores[rng.integers(30, size=30)].mean() for _ in range(intervals.ROUNDS_OF_MEANS)]
    estimate = mean_score(scores.tolist(), seed=7)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=1e-12)


def test_one_score_is_a_point() -> None:
    assert mean_score([2.5]) == (2.5, 2.5, 2.5)


def exact_means(values: list[float]) -> list[float]:
    """The means of all n^n resamples, in order."""
    return sorted(sum(sample) / len(values) for sample in itertools.product(values, repeat=len(values)))


@pytest.mark.parametrize("at_once", [4_000_000, 50])
def test_the_interval_of_a_mean_agrees_with_all_resamples_listed(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_DRAWS", at_once)
    values = [0.0, 1.0, 5.0, 2.5, 2.0, 9.0]
    means = exact_means(values)
    found = mean_score(values)
    assert found.value == pytest.approx(sum(values) / 6)
    for end, share in ((found.low, 0.025), (found.high, 0.975)):
        assert sum(mean <= end for mean in means) / len(means) == pytest.approx(share, abs=0.01)


def test_a_mean_of_equal_scores_is_a_point_and_of_none_an_error() -> None:
    assert mean_score([3, 3, 3]) == (3, 3, 3)
    with pytest.raises(BadArgument, match="no values"):
        mean_score([])
    with pytest.raises(BadArgument, match="confidence"):
        mean_score([1, 2], confidence=95)


def test_means_are_compared_by_pairs() -> None:
    """Pictures differ much and change little: pairs know the change, two means alone would not."""
    before = [float(value) for value in np.random.default_rng(0).normal(0, 100, 40)]
    after = [value + 1 + 0.1 * (index % 2) for index, value in enumerate(before)]
    found = paired_means(before, after)
    assert found.value == pytest.approx(1.05)
    assert 1 < found.low < 1.05 < found.high < 1.1
    for pairs in (([], []), ([1.0], [1.0, 2.0])):
        with pytest.raises(BadArgument, match="no pairs"):
            paired_means(*pairs)


def test_the_interval_of_a_distance_of_sets_is_as_wide_as_theory_says() -> None:
    """Of two means of one feature: 2 · 1.96 standard errors of their difference."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 2, (300, 1)), rng.normal(10, 1, (100, 1))

    def apart(x: np.ndarray, y: np.ndarray) -> float:
        return float(abs(x.mean() - y.mean()))

    found = set_distance(apart, a, b, rounds=600)
    assert found.value == apart(a, b)
    assert found.low < found.value < found.high
    error = math.sqrt(a.var() / 300 + b.var() / 100)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_resamples_that_all_lie_too_high_do_not_move_the_interval() -> None:
    """Two sets of one distribution: every resample is further off than the sets, and the interval stays by them."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
    found = set_distance(fid, a, b, rounds=60)
    assert 0 <= found.low <= found.value <= found.high
    assert found == set_distance(fid, a, b, rounds=60)
