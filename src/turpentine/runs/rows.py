"""The rows of a line of a table: each case and seed, the scores of its picture, and whether that is a hit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from turpentine.judges.base import shows, shows_both
from turpentine.runs.plan import Job, Plan
from turpentine.runs.specs import Condition, JudgeSpec
from turpentine.runs.store import Store
from turpentine.tasks.cases import Case

CASE_COLUMNS = {
    "group": pl.String,
    "label": pl.String,
    "prompt": pl.String,
    "attribute": pl.String,
    "expected": pl.String,
    "seed": pl.Int64,
}
"""A case and a seed, as columns."""

ALSO = "expected_also"
"""Holds, while hits are counted, the second of two expected things."""


def condition_rows(condition: Condition, plan: Plan, store: Store) -> pl.DataFrame:
    """Return the rows of one line, in the order of its cases and seeds; see `rows_of`.

    Args:
        condition: The line.
        plan: Its plan.
        store: Where the parts are.

    Raises:
        LedgerError: A part is missing or damaged; it is named.
    """
    seen = [
        _seen(plan, store, condition.judges, plan.jobs_of(draw_spec, condition)).with_columns(
            pl.lit(number).alias("state")
        )
        for number, draw_spec in enumerate(condition.pictures)
    ]
    return rows_of(condition, pl.concat(seen))


def rows_of(condition: Condition, seen: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each case and seed of a line.

    Args:
        condition: The line.
        seen: What was seen in its pictures: columns state (a number from 0, in the order in which the line's cases need
            them), prompt, seed, and any others, which follow those of CASE_COLUMNS in the result.

    Returns:
        Last comes hit: is the case's attribute judged to be the expected thing, or to be it also, where a judge has a
        column such as object_also? Two expected things must be the two likeliest, and expected names both. Null if
        there is no ground truth or the picture was not judged.
    """
    rows_of_cases = [
        (*_case_values(case), seed, case.also, number) for case, number, seeds in _numbered(condition) for seed in seeds
    ]
    schema = {**CASE_COLUMNS, ALSO: pl.String, "state": pl.Int32}
    rows = pl.DataFrame(rows_of_cases, schema=schema, orient="row")
    rows = rows.join(seen, on=["state", "prompt", "seed"], how="left", maintain_order="left")
    return rows.drop("state", ALSO).with_columns(rows.select(_expected(), _hit(rows).alias("hit")))


def _numbered(condition: Condition) -> Iterator[tuple[Case, int, tuple[int, ...]]]:
    """Yield each case, the number of the draw spec that draws it, and its seeds."""
    numbers = {draw_spec: number for number, draw_spec in enumerate(condition.pictures)}
    for case, draw_spec, seeds in condition.case_draws():
        yield case, numbers[draw_spec], seeds


def _hit(rows: pl.DataFrame) -> pl.Expr:
    hit = pl.lit(None, dtype=pl.Boolean)
    for attribute in rows["attribute"].drop_nulls().unique():
        is_hit = shows(rows.columns, attribute)
        if rows.filter(pl.col("attribute") == attribute)[ALSO].is_not_null().any():
            both = shows_both(rows.columns, attribute, "expected", ALSO)
            is_hit = pl.when(pl.col(ALSO).is_null()).then(is_hit).otherwise(both)
        hit = pl.when(pl.col("attribute") == attribute).then(is_hit).otherwise(hit)
    return pl.when(pl.col("error").is_null()).then(hit)


def _expected() -> pl.Expr:
    """Return an expression for what a hit shows: where that is two things, both in words."""
    both = pl.concat_str("expected", ALSO, separator=" and ")
    return pl.when(pl.col(ALSO).is_null()).then(pl.col("expected")).otherwise(both).alias("expected")


def _case_values(case: Case) -> tuple[str | None, ...]:
    return case.group, case.label, case.prompt, case.attribute, case.expected


def _seen(plan: Plan, store: Store, judges: Sequence[JudgeSpec], jobs: Sequence[Job]) -> pl.DataFrame:
    """Return a row for each picture of some batches: prompt, seed, image, error, the judges' columns."""
    draws = store.draws.gather([job.batch.key for job in jobs])
    parts = [store.scores(judge).gather([plan.score_key(job, judge) for job in jobs]) for judge in judges]
    errors = [draws["error"], *(part["error"] for part in parts)]
    scores = [part.drop("error") for part in parts]
    return pl.concat([draws.select("prompt", "seed", "image"), _first(errors), *scores], how="horizontal")


def _first(errors: Iterable[pl.Series]) -> pl.DataFrame:
    """Return in each row the first error there is."""
    columns = [error.alias(str(number)) for number, error in enumerate(errors)]
    return pl.DataFrame(columns).select(pl.coalesce(pl.all()).alias("error"))
