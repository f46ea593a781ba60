from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from turpentine.bench.metrics import Measure
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.judges.base import LABEL, Column
from turpentine.stats.intervals import Rate, paired_bootstrap, wilson

COLUMNS = {"score": Column(0.0, 1.0, "higher"), "count": Column(0.0, math.inf), "object": LABEL, "features": LABEL}


@pytest.mark.parametrize(
    "text", ["rate of hit", "mean of score", "sum of count", "fid of features", "clip-mmd of features"]
)
def test_a_measure_is_read_as_it_is_written(text: str) -> None:
    assert str(Measure.parse(text).checked(COLUMNS)) == text


@pytest.mark.parametrize(
    ("text", "error", "named"),
    [
        ("hit", BadArgument, "'hit' is no measure"),
        ("median of score", UnknownName, "'median'.*did you mean 'mean'"),
        ("mean of scores", UnknownName, "'scores'.*did you mean 'score'"),
        ("rate of score", BadArgument, "write rate of hit"),
        ("sum of hit", BadArgument, "write rate of hit"),
        ("mean of object", BadArgument, "object holds no numbers"),
    ],
)
def test_what_is_no_measure_is_refused_with_the_nearest(text: str, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        Measure.parse(text).checked(COLUMNS)


def frame(**columns: list[Any]) -> pl.DataFrame:
    """Rows of one picture for each prompt, so that an interval over prompts is one over pictures."""
    count = len(next(iter(columns.values())))
    return pl.DataFrame({"label": ["church"] * count, "prompt": [str(row) for row in range(count)], **columns})


def test_intervals_are_over_labels_and_their_prompts() -> None:
    rng = np.random.default_rng(5)
    hit = np.repeat(rng.random(12) < 0.5, 8).tolist()
    rows = pl.DataFrame(
        {"label": [f"l{i // 32}" for i in range(96)], "prompt": [f"p{i // 8}" for i in range(96)], "hit": hit}
    )
    clusters = rows.select("label", "prompt").rows()
    expected, value = Rate.of(hit, clusters), Measure("rate", "hit").value(rows, None)
    assert expected is not None and (value.low, value.high) == (expected.low, expected.high)
    assert value.high - value.low > 1.5 * (wilson(sum(hit), 96)[1] - wilson(sum(hit), 96)[0])
    base = rows.with_columns(hit=pl.lit(True))
    difference = Measure("rate", "hit").difference(rows, base)
    assert difference[:3] == paired_bootstrap([True] * 96, hit, clusters=clusters)


def test_a_mean_is_of_what_is_known_and_a_sum_is_as_many_times_as_much() -> None:
    values = [float(value) for value in np.random.default_rng(0).normal(3, 2, 400)]
    rows = frame(count=[*values, None])
    mean, low, high, hits, judged = Measure("mean", "count").value(rows, None)
    reach = 1.96 * np.std(values) / math.sqrt(400)
    assert mean == pytest.approx(sum(values) / 400)
    assert (low, high) == pytest.approx((mean - reach, mean + reach), abs=0.15 * reach)
    assert (hits, judged) == (None, 400)
    checked = rows.drop_nulls()
    assert Measure("sum", "count").value(checked, None)[:3] == pytest.approx((400 * mean, 400 * low, 400 * high))


def test_a_difference_is_by_pairs_so_that_what_all_share_adds_nothing() -> None:
    start = np.random.default_rng(1).normal(0, 100, 50)
    base = frame(count=[*start, None, 1.0])
    rows = frame(count=[*(start + 0.5), 7.0, None])
    assert Measure("mean", "count").difference(rows, base)[:3] == pytest.approx((0.5, 0.5, 0.5))
    assert Measure("sum", "count").difference(rows[:50], base[:50])[:3] == pytest.approx((25, 25, 25))


def test_a_count_of_nothing_has_the_interval_of_nothing_among_so_many() -> None:
    none = frame(count=[0] * 20)
    _, high = wilson(0, 20)
    assert Measure("mean", "count").value(none, None)[:3] == (0.0, 0.0, high)
    assert Measure("sum", "count").value(none, None)[:3] == pytest.approx((0.0, 0.0, 20 * high))
    assert Measure("sum", "count").difference(none, none)[:3] == pytest.approx((0.0, -20 * high, 20 * high))
    some = frame(count=[0] * 19 + [3])
    assert Measure("sum", "count").value(some, None).value == pytest.approx(3)
    scores = none.with_columns(pl.col("count").cast(pl.Float64))  # of a score of exactly 0 nothing is known
    assert Measure("mean", "count").value(scores, None)[:3] == (0.0, 0.0, 0.0)


def test_there_is_no_sum_where_a_picture_could_not_be_judged_for_it_would_fall() -> None:
    whole, lacking = frame(count=[1.0, 2.0]), frame(count=[1.0, None])
    measure = Measure("sum", "count")
    assert measure.value(lacking, None).value is None
    assert measure.difference(lacking, whole).value is None
    assert measure.difference(whole, lacking).value is None
    assert measure.value(whole, None).value == 3


def test_nothing_known_is_no_number() -> None:
    rows = frame(hit=[None, None], count=[None, None]).cast({"hit": pl.Boolean, "count": pl.Float64})
    for measure in (Measure("rate", "hit"), Measure("mean", "count")):
        assert measure.value(rows, None).value is None
        assert measure.difference(rows, rows).value is None


def test_a_distance_of_sets_is_from_the_unedited_model_and_the_unedited_model_has_none() -> None:
    rng = np.random.default_rng(2)
    before, after = (rng.normal(shift, 1, (40, 3)) for shift in (0, 2))
    frames = [frame(features=list(each)).cast({"features": pl.Array(pl.Float64, 3)}) for each in (after, before)]
    measure = Measure.parse("fid of features")
    value, low, high, _, judged = measure.value(*frames)
    # The shift alone: |μ_a − μ_b|²; the covariances add little.
    assert value == pytest.approx(np.square(after.mean(0) - before.mean(0)).sum(), rel=0.2)
    assert low < value < high and judged == 40
    assert measure.value(frames[1], None).value is None
    assert measure.difference(*frames).value is None
    assert measure.better("other") == "lower"
    assert measure.better("erased") is None
