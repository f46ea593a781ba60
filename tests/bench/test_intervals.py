from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turpentine.bench.intervals import Rate, paired_bootstrap, wilson
from turpentine.errors import BadArgument

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
    assert (found.low, found.high) == pytest.approx((max(-1, value - room), min(1, value + room)))
    assert found.high - found.low > 0.3


def test_the_same_seed_gives_the_same_interval() -> None:
    before, after = [True, False] * 20, [True, True, False, False] * 10
    assert paired_bootstrap(before, after, seed=3) == paired_bootstrap(before, after, seed=3)


def test_what_is_no_pair_is_an_error() -> None:
    for before, after in (([], []), ([True], [True, False])):
        with pytest.raises(BadArgument, match="no pairs"):
            paired_bootstrap(before, after)
