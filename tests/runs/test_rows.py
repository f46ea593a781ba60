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
JUDGE = JudgeSpec("two", {}, {"name": "two"}, frozenset(), ("object", "object_also"))
names = st.sampled_from([None, "dog", "cat", "owl"])


@given(st.tuples(names, names), st.booleans())
def test_a_hit_shows_all_that_is_expected(labels: tuple[str | None, str | None], failed: bool) -> None:
    condition = Condition(ModelSpec("toy", DESCRIPTION, "float32"), CASES, Protocol(seeds=(0,)), (JUDGE,))
    row = {"state": 0, "seed": 0, "error": "no" if failed else None, "object": labels[0], "object_also": labels[1]}
    kinds = {"state": pl.Int32, "error": pl.String, "object": pl.String, "object_also": pl.String}
    seen = pl.DataFrame([{**row, "prompt": case.prompt} for case in CASES], schema_overrides=kinds)
    rows = rows_of(condition, seen)
    assert rows.columns == [*CASE_COLUMNS, "error", "object", "object_also", "hit"]
    hits = [None, None, None] if failed else [{"dog"} <= {*labels}, {"dog", "cat"} <= {*labels}, None]
    assert rows["hit"].to_list() == hits
    assert rows["expected"].to_list() == ["dog", "dog and cat", None]
