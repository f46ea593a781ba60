"""The results of a bench, as one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from turpentine.core.hashing import digest_file
from turpentine.core.parts import TABLES
from turpentine.runs.plan import Plan
from turpentine.runs.rows import condition_rows
from turpentine.runs.specs import Condition
from turpentine.runs.store import Store


@dataclass(frozen=True)
class Results:
    """The file of a bench's rows.

    Attributes:
        path: A row for each line of the table, case and seed, in the plan's order: condition (the line's id), model,
            method, concept, group, label, prompt, attribute, expected, seed, image (its name in the store), error, the
            judges' columns, hit.
        sha256: Of the file.
        rows: How many.
        errors: Of those, how many could not be drawn or judged.
        first_error: Why, of the first of them.
        frame: The rows as they were written: the file may be another bench's soon.
    """

    path: Path
    sha256: str
    rows: int
    errors: int
    first_error: str | None
    frame: pl.DataFrame = field(repr=False, compare=False)


def compact(plan: Plan, store: Store) -> Results:
    """Put all rows of a bench into `results.parquet`: the same bytes whatever the order of the work.

    Args:
        plan: The work.
        store: Where its parts are.

    Raises:
        LedgerError: A part is missing or damaged; it is named.
        OSError: As the file system does.
    """
    rows = pl.concat(
        [_named(condition, condition_rows(condition, plan, store)) for condition in plan.conditions], how="diagonal"
    )
    TABLES.write(store.results, rows, {})
    sha256 = digest_file(store.results)
    errors: list[str] = rows["error"].drop_nulls().to_list()
    return Results(store.results, sha256, len(rows), len(errors), errors[0] if errors else None, rows)


def _named(condition: Condition, rows: pl.DataFrame) -> pl.DataFrame:
    names = {
        "condition": condition.id,
        "model": condition.source.load,
        "method": condition.method,
        "concept": condition.concept,
    }
    return rows.select(*(pl.lit(text).alias(name) for name, text in names.items()), pl.all())
