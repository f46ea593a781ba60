from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from turpentine.bench import Comparison, Measurement, Rate, compare, paired_bootstrap, wilson
from turpentine.core.errors import BadArgument

# group, label, prompt, hit before, hit after, broken after; two seeds of each prompt are two rows.
ROWS: list[tuple[str, str, str, int, bool | None, bool | None, str | None]] = [
    ("other", "dog", "a dog", 0, True, True, None),
    ("other", "dog", "a dog", 1, True, False, "blank"),
    ("erased", "church", "church", 0, True, False, None),
    ("erased", "church", "church", 1, True, False, "noise"),
    ("erased", "church, styled", "church in ink", 0, False, False, None),
    ("erased", "church, styled", "church in ink", 1, True, True, None),
    ("neighbour", "house", "a house", 0, False, True, None),
    ("neighbour", "house", "a house", 1, False, False, None),
    ("style", "ink", "a dog", 0, None, None, None),
    ("style", "ink", "a dog", 1, None, None, "blank"),
]


def measurement(after: bool, **protocol: Any) -> Measurement:
    rows = [(g, lab, p, s, a if after else b, broken if after else None) for g, lab, p, s, b, a, broken in ROWS]
    text = dict.fromkeys(("group", "label", "prompt"), pl.String)
    schema = {**text, "seed": pl.Int64, "hit": pl.Boolean, "broken": pl.String}
    images = {(prompt, seed): picture(after and seed == 1) for _, _, prompt, seed, *_ in ROWS}
    return Measurement(pl.DataFrame(rows, schema=schema, orient="row"), images, {"steps": 20, **protocol})


def picture(is_white: bool) -> Image.Image:
    return Image.fromarray(np.full((2, 2, 3), 255 * is_white, np.uint8))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(measurement(after=False), measurement(after=True))


def test_a_change_for_each_label_in_the_order_of_the_groups(comparison: Comparison) -> None:
    found = [(change.group, change.label, change.pictures) for change in comparison.labels]
    assert found == [
        ("erased", "church", 2),
        ("erased", "church, styled", 2),
        ("neighbour", "house", 2),
        ("other", "dog", 2),
        ("style", "ink", 2),
    ]


def test_rates_differences_and_intervals(comparison: Comparison) -> None:
    whole = comparison.summary["erased"]
    assert (whole.before, whole.after) == (Rate(3, 4), Rate(1, 4))
    assert whole.difference == paired_bootstrap([True, True, False, True], [False, False, False, True])
    assert comparison.groups[0].before == whole.before


def test_others_are_neighbours_and_the_rest_of_its_kind(comparison: Comparison) -> None:
    others = comparison.summary["others"]
    assert (others.before, others.after) == (Rate(2, 4), Rate(2, 4))
    assert "scenes" not in comparison.summary  # there is no such case


def test_cases_without_truth_have_no_rate(comparison: Comparison) -> None:
    style = comparison.summary["styles"]
    assert style.before is style.after is style.difference is None
    assert style.broken_after == Rate(1, 2)


def test_broken_pictures_are_counted_once_among_all(comparison: Comparison) -> None:
    assert comparison.overall.pictures == 8
    assert comparison.overall.broken_before == Rate(0, 8)
    assert comparison.overall.broken_after == Rate(2, 8)
    assert comparison.overall.before is None


def test_moved_is_the_mean_difference_of_pixels(comparison: Comparison) -> None:
    assert comparison.summary["erased"].moved == pytest.approx(0.5)
    assert comparison.overall.moved == pytest.approx(0.5)


def test_the_frame_has_a_row_for_each_label_with_all_numbers(comparison: Comparison) -> None:
    row = comparison.frame.row(0, named=True)
    assert (row["before"], row["before_hits"], row["before_n"]) == (1.0, 2, 2)
    assert (row["after_low"], row["after_high"]) == wilson(0, 2)
    assert row["difference"] == -1
    assert comparison.frame.filter(group="style")["before"].to_list() == [None]


def test_the_summary_as_json(comparison: Comparison) -> None:
    content = comparison.to_json()
    assert content["erased"]["after"] == {
        "hits": 1,
        "n": 4,
        "rate": 0.25,
        "low": wilson(1, 4)[0],
        "high": wilson(1, 4)[1],
    }
    assert content["styles"]["before"] is None
    assert set(content) == {"erased", "others", "styles", "overall"}


def test_two_protocols_are_refused_by_name() -> None:
    with pytest.raises(BadArgument, match="steps"):
        compare(measurement(after=False), measurement(after=True, steps=50))
    with pytest.raises(BadArgument, match="size"):
        compare(measurement(after=False), measurement(after=True, size=64))
