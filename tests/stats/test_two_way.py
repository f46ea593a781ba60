"""Means over raters and items against statsmodels, and how often their intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from turpentine.core.errors import BadArgument
from turpentine.stats.two_way import two_way_difference, two_way_mean


def answers(seed: int, items: int = 20, raters: int = 12) -> tuple[list[float], list[int], list[int]]:
    rng = np.random.default_rng(seed)
    seen = np.argwhere(rng.random((items, raters)) < 0.5)
    effects = rng.normal(size=items), rng.normal(size=raters)
    values = [3 + effects[0][item] + effects[1][rater] + rng.normal() for item, rater in seen]
    return values, seen[:, 1].tolist(), seen[:, 0].tolist()


def test_the_variance_is_that_of_statsmodels() -> None:
    tools = pytest.importorskip("statsmodels.stats.sandwich_covariance")
    linear = pytest.importorskip("statsmodels.regression.linear_model")
    from scipy.stats import t

    values, raters, items = answers(3)
    fit = linear.OLS(np.array(values), np.ones(len(values))).fit()
    both, *_ = tools.cov_cluster_2groups(fit, np.array(raters), np.array(items), use_correction=False)
    alone = [tools.cov_cluster(fit, np.array(each), use_correction=False).item() for each in (raters, items)]
    mean, low, high = two_way_mean(values, raters, items)
    assert mean == pytest.approx(np.mean(values))
    sizes = [len(set(each)) for each in (raters, items)]
    pairs = sum(((np.array(values) - mean) / len(values)) ** 2)
    assert both.item() == pytest.approx(sum(alone) - pairs)
    corrected = [each * size / (size - 1) for each, size in zip(alone, sizes, strict=True)]
    variance = max(sum(corrected) - pairs * len(values) / (len(values) - 1), *corrected)
    assert (high - low) / 2 == pytest.approx(t.ppf(0.975, min(sizes) - 1) * np.sqrt(variance))


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    hits = sum(low <= 3 <= high for low, high in (two_way_mean(*answers(seed))[1:] for seed in range(200)))
    assert 0.91 <= hits / 200 <= 0.99


def test_rates_leave_room_where_all_are_alike_and_stay_in_bounds() -> None:
    rate = two_way_mean([1.0] * 10, list(range(10)), [0] * 10, is_rate=True)
    assert rate.value == rate.high == 1
    assert rate.low == pytest.approx(0.722, abs=1e-3)


def test_a_raters_taste_cancels_in_a_difference() -> None:
    rng = np.random.default_rng(0)
    taste = rng.normal(size=30) * 5
    people, pictures = list(range(30)), list(range(30))
    one = ([float(each + 1) for each in taste], people, pictures)
    other = ([float(each) for each in taste], people, [each + 100 for each in pictures])
    alone = two_way_mean(*one)
    difference = two_way_difference(one, other)
    assert difference.value == pytest.approx(1)
    assert difference.high - difference.low < (alone.high - alone.low) * 1.5


def test_nothing_and_unequal_numbers_are_refused() -> None:
    with pytest.raises(BadArgument, match="as many of each"):
        two_way_mean([], [], [])
    with pytest.raises(BadArgument, match="as many of each"):
        two_way_mean([1.0], [1, 2], [1])
    with pytest.raises(BadArgument, match="without answers"):
        two_way_difference(([1.0], [1], [1]), ([], [], []))
