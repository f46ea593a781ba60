"""Pearson's and Spearman's correlations against plain transcriptions."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turpentine.core.errors import NotFinite
from turpentine.stats.correlation import pearson, spearman, spearman_interval, spearman_p


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """How many are smaller, and half of the equal ones."""
    return np.array([(values < value).sum() + ((values == value).sum() + 1) / 2 for value in values])


def plain_spearman(x: np.ndarray, y: np.ndarray) -> float:
    a, b = mean_ranks(x) - (len(x) + 1) / 2, mean_ranks(y) - (len(y) + 1) / 2
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


def test_pearsons_interval_is_fishers() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=28)
    y = x + generator.normal(size=28)
    r, low, high = pearson(x, y)
    assert r == pytest.approx(np.corrcoef(x, y)[0, 1])
    z, reach = 0.5 * math.log((1 + r) / (1 - r)), 1.959964 / 5
    assert low == pytest.approx((math.exp(2 * (z - reach)) - 1) / (math.exp(2 * (z - reach)) + 1), rel=1e-6)
    assert high == pytest.approx((math.exp(2 * (z + reach)) - 1) / (math.exp(2 * (z + reach)) + 1), rel=1e-6)
    assert pearson(x, 2 * x + 1)[0] == pytest.approx(1)
    with pytest.raises(NotFinite, match="no correlation"):
        pearson(x, np.zeros(28))


def test_less_confidence_is_narrower_and_what_is_no_number_has_no_correlation() -> None:
    x, y = np.arange(6.0), np.array([0.0, 2, 1, 3, 5, 4])
    _, low, high = pearson(x, y)
    assert low < pearson(x, y, 0.5).low < pearson(x, y, 0.5).high < high
    for wrong in (math.nan, math.inf):
        with pytest.raises(NotFinite, match="NaN or infinite"):
            pearson(x, np.array([*y[:-1], wrong]))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_straight_line_has_a_correlation_without_a_warning(sign: int) -> None:
    x = np.arange(8.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r, low, high = pearson(x, sign * x)
    assert (r, low, high) == pytest.approx((sign, sign, sign))


def test_ranks_by_spearmans_formula() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        x, y = rng.normal(size=9), rng.normal(size=9)
        d = [sum(x < a) - sum(y < b) for a, b in zip(x, y, strict=True)]
        assert spearman(x, y) == pytest.approx(1 - 6 * sum(each**2 for each in d) / (9 * 80))
    assert spearman(np.array([1.0, 2, 2, 3]), np.array([5.0, 6, 6, 9])) == pytest.approx(1)
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=4, max_size=12))
def test_ties_share_the_mean_of_their_ranks(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert spearman(x, y) == pytest.approx(plain_spearman(x, y), abs=1e-12)
    else:
        assert math.isnan(spearman(x, y))


def test_the_interval_is_that_of_all_resamples_that_have_ranks() -> None:
    """By listing all 4⁴ resamples; those of one value only have no ranks."""
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 4.0, 3.0])
    samples = [list(rows) for rows in itertools.product(range(4), repeat=4) if len(set(rows)) > 1]
    expected = np.percentile([plain_spearman(x[rows], y[rows]) for rows in samples], [2.5, 97.5])
    assert spearman_interval(x, y, rounds=2000) == pytest.approx(expected.tolist(), abs=0.05)
    assert spearman_interval(x, y, rounds=50, seed=3) == spearman_interval(x, y, rounds=50, seed=3)


def test_p_is_exact_for_few_pairs() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    rho = abs(plain_spearman(x, y))
    strengths = [abs(plain_spearman(x, np.array(order))) for order in itertools.permutations(y)]
    assert spearman_p(x, y) == pytest.approx(np.mean(np.array(strengths) > rho - 1e-9))


def test_p_of_many_pairs_counts_the_shuffles() -> None:
    x = np.arange(20.0)
    assert spearman_p(x, -x, rounds=99) == pytest.approx(1 / 100)
    y = np.random.default_rng(2).normal(size=20)
    one, other = spearman_p(x, y, rounds=400), spearman_p(x, -y, rounds=400)
    assert one == pytest.approx(other, abs=0.1) and one == spearman_p(x, y, rounds=400)
