from __future__ import annotations

import polars as pl
import pytest
from bench.benches import plan_of

from turpentine.bench import Case, Effects, Plan, Rate, paired_bootstrap, tabulate, wilson
from turpentine.bench.effects import MOVED
from turpentine.bench.table import HITS
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


def results_of(plan: Plan) -> pl.DataFrame:
    """The rows of both lines, as `results.parquet` has them."""
    text = dict.fromkeys(("condition", "group", "label", "prompt", "broken", "error"), pl.String)
    rows = [
        {"condition": condition.id, "group": g, "label": lab, "prompt": p, "seed": s}
        | {"hit": a if condition.edit_spec else b, "broken": broken if condition.edit_spec else None}
        | {"moved": float(bool(condition.edit_spec) and s == 1)}
        for condition in plan.conditions
        for g, lab, p, s, b, a, broken in ROWS
    ]
    schema = {**text, "seed": pl.Int64, "hit": pl.Boolean, "moved": pl.Float64}
    return pl.DataFrame(rows, schema=schema)


@pytest.fixture(scope="module")
def effects() -> Effects:
    plan = plan_of({"church": [Case("erased", "church", "church")]}, (1.0,))
    table = tabulate(plan, results_of(plan), lambda edit_spec: None, measures=(HITS, MOVED), summaries=True)
    return Effects.of(table)


def test_an_effect_for_each_label_in_the_order_of_the_groups(effects: Effects) -> None:
    found = [(effect.group, effect.label, effect.pictures) for effect in effects.labels]
    assert found == [
        ("erased", "church", 2),
        ("erased", "church, styled", 2),
        ("neighbour", "house", 2),
        ("other", "dog", 2),
        ("style", "ink", 2),
    ]


def test_rates_differences_and_intervals(effects: Effects) -> None:
    whole = effects.summary["erased"]
    clusters = [(label, prompt) for group, label, prompt, *_ in ROWS if group == "erased"]
    before, after = [True, True, False, True], [False, False, False, True]
    assert (whole.before, whole.after) == (Rate.of(before, clusters), Rate.of(after, clusters))
    assert whole.difference == paired_bootstrap(before, after, clusters=clusters)
    assert effects.groups[0].before == whole.before


def test_others_are_neighbours_and_the_rest_of_its_kind(effects: Effects) -> None:
    others = effects.summary["others"]
    clusters = [("dog", "a dog")] * 2 + [("house", "a house")] * 2
    assert others.before == Rate.of([True, True, False, False], clusters)
    assert others.after == Rate.of([True, False, True, False], clusters)
    assert "scenes" not in effects.summary  # there is no such case


def test_cases_without_truth_have_no_rate(effects: Effects) -> None:
    style = effects.summary["styles"]
    assert style.before is style.after is style.difference is None
    assert style.broken_after == Rate(1, 2)


def test_broken_pictures_are_counted_once_among_all(effects: Effects) -> None:
    assert effects.overall.pictures == 8
    assert effects.overall.broken_before == Rate(0, 8)
    assert effects.overall.broken_after == Rate(2, 8)
    assert effects.overall.before is None


def test_moved_is_the_mean_difference_of_pixels(effects: Effects) -> None:
    assert effects.summary["erased"].moved == pytest.approx(0.5)
    assert effects.overall.moved == pytest.approx(0.5)


def test_the_frame_has_a_row_for_each_label_with_all_numbers(effects: Effects) -> None:
    row = effects.frame.row(0, named=True)
    assert (row["before"], row["before_hits"], row["before_n"]) == (1.0, 2, 2)
    assert (row["after_low"], row["after_high"]) == wilson(0, 2)
    assert row["difference"] == -1
    assert effects.frame.filter(group="style")["before"].to_list() == [None]


def test_the_summary_as_json(effects: Effects) -> None:
    content = effects.to_json()
    assert content["erased"]["after"] == {
        "hits": 1,
        "n": 4,
        "rate": 0.25,
        "low": effects.summary["erased"].after.low,
        "high": effects.summary["erased"].after.high,
    }
    assert content["styles"]["before"] is None
    assert set(content) == {"erased", "others", "styles", "overall"}


def test_other_lines_than_an_edit_and_its_unedited_model_are_refused() -> None:
    plan = plan_of({"church": [Case("erased", "church", "church")]}, (1.0, 2.0))
    with pytest.raises(BadArgument, match="two lines"):
        Effects.of(tabulate(plan, results_of(plan), lambda edit_spec: None, summaries=True))


def test_pictures_that_failed_are_in_no_rate() -> None:
    plan = plan_of({"church": [Case("erased", "church", "church")]}, (1.0,))
    failed = (pl.col("seed") == 0) & (pl.col("condition") == plan.conditions[1].id)
    error, nothing = pl.lit("It rained."), {"hit": pl.lit(None, dtype=pl.Boolean)}
    rows = results_of(plan).with_columns(error=pl.when(failed).then(error), **nothing)
    overall = Effects.of(tabulate(plan, rows, lambda edit_spec: None, measures=(HITS, MOVED), summaries=True)).overall
    assert (overall.errors, overall.broken_before, overall.broken_after) == (4, Rate(0, 8), Rate(2, 4))
