"""Intraclass correlations against Shrout and Fleiss's example, the package pingouin, and their own definition."""

from __future__ import annotations

import numpy as np
import pytest

from turpentine.core.errors import BadArgument
from turpentine.stats.icc import icc, icc_with_interval

# Shrout and Fleiss 1979, table 2: six targets by four judges.
RATINGS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)


def long(table: np.ndarray) -> tuple[list[float], list[int], list[int]]:
    items, raters = np.nonzero(~np.isnan(table))
    return table[items, raters].tolist(), items.tolist(), raters.tolist()


def test_the_published_example() -> None:
    result = icc(*long(RATINGS))
    assert (round(result.single, 2), round(result.average, 2), result.k) == (0.29, 0.62, 4)


def test_another_package_gives_the_same() -> None:
    pandas = pytest.importorskip("pandas")
    pingouin = pytest.importorskip("pingouin")
    values, items, raters = long(RATINGS)
    table = pandas.DataFrame({"value": values, "item": items, "rater": raters})
    rows = pingouin.intraclass_corr(table, targets="item", raters="rater", ratings="value").set_index("Type")["ICC"]
    random_raters = [name for name in rows.index if name in ("ICC2", "ICC2k", "ICC(A,1)", "ICC(A,k)")]
    result = icc(values, items, raters)
    assert rows[random_raters].tolist() == pytest.approx([result.single, result.average], abs=1e-9)


def test_with_gaps_the_variances_come_back_on_average() -> None:
    rng = np.random.default_rng(1)
    singles = []
    for _ in range(60):
        table = rng.normal(size=(40, 1)) * 2 + rng.normal(size=(1, 12)) + rng.normal(size=(40, 12)) * 1.5
        table[rng.random(table.shape) < 0.5] = np.nan
        singles.append(icc(*long(table)).single)
    assert np.mean(singles) == pytest.approx(4 / (4 + 1 + 2.25), abs=0.03)


def test_intervals_hold_the_values() -> None:
    single, average = icc_with_interval(*long(RATINGS), rounds=60)
    assert single.low < single.value < single.high
    assert average.low < average.value < average.high


def test_too_few_ratings_are_refused() -> None:
    with pytest.raises(BadArgument, match="fewer than two people"):
        icc([1, 2], ["a", "b"], ["ann", "bo"])
