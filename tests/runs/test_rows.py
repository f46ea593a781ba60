"""Rows and their hits: of two expected things both must be seen, whichever the judge names first."""

from __future__ import annotations

import polars as pl
from bench.stubs import DESCRIPTION
from hypothesis import given
from hypothesis import strategies as st

from turpentine.runs.protocol import Protocol
from turpentine.runs.rows import CASE_COLUMNS, rows_of
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec
from turpentine.tasks.cases import Case

CASES = (
    Case("other", "dog", "a dog", "object", "dog"),
    Case("pair", "dog and cat", "a dog and a cat", "object", "dog", also="cat"),
    Case("other", "unknown", "an unknown"),
)
names = st.sampled_from([None, "dog", "cat", "owl"])


@given(st.tuples(names, names), st.booleans())
def test_a_hit_shows_what_is_expected_and_of_two_things_both(
    labels: tuple[str | None, str | None], failed: bool
) -> None:
    rows = rows_with({"object": labels[0], "object_also": labels[1]}, failed)
    assert rows.columns == [*CASE_COLUMNS, "error", "object", "object_also", "hit"]
    assert rows["hit"].to_list() == ([None] * 3 if failed else ["dog" in labels, {*labels} == {"dog", "cat"}, None])
    assert rows["expected"].to_list() == ["dog", "dog and cat", None]


@given(st.tuples(names, names), st.booleans())
def test_the_next_likeliest_of_two_counts_however_unlikely_it_is(
    labels: tuple[str | None, str | None], is_likely: bool
) -> None:
    also = labels[1] if is_likely else None
    rows = rows_with({"object": labels[0], "second": labels[1], "object_also": also}, False)
    assert rows["hit"].to_list() == ["dog" in (labels[0], also), {*labels} == {"dog", "cat"}, None]


def rows_with(answers: dict[str, str | None], failed: bool) -> pl.DataFrame:
    """The rows of the cases where the judge gives these answers of every picture."""
    judge = JudgeSpec("two", {}, {"name": "two"}, frozenset(), tuple(answers))
    condition = Condition(ModelSpec("toy", DESCRIPTION, "float32"), CASES, Protocol(seeds=(0,)), (judge,))
    row = {"state": 0, "seed": 0, "error": "no" if failed else None, **answers}
    kinds = {"state": pl.Int32, "error": pl.String, **dict.fromkeys(answers, pl.String)}
    seen = pl.DataFrame([{**row, "prompt": case.prompt} for case in CASES], schema_overrides=kinds)
    return rows_of(condition, seen)
