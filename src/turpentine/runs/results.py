"""What a bench found, as one file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from turpentine.runs.ledger import write_table
from turpentine.runs.plan import Plan
from turpentine.runs.rows import cell_rows
from turpentine.runs.specs import Cell
from turpentine.runs.store import Store


@dataclass(frozen=True)
class Results:
    """The file of a bench's rows.

    path: a row for each line of the table, case and seed, in the plan's order: cell (its id), model, method, concept,
    group, label, prompt, attribute, wanted, seed, image (its name in the store), error, the judges' columns, hit.
    sha256: of the file. rows: how many. errors: of those, how many could not be drawn or judged.
    first_error: why, of the first of them. frame: the rows as they were written: the file may be another bench's soon.
    """

    path: Path
    sha256: str
    rows: int
    errors: int
    first_error: str | None
    frame: pl.DataFrame = field(repr=False, compare=False)


def compact(plan: Plan, store: Store) -> Results:
    """Put all that a bench found into `results.parquet`: the same bytes whatever the order of the work.

    Raises LedgerError, naming a part that is missing or damaged, and OSError as the file system does.
    """
    rows = pl.concat([_named(cell, cell_rows(cell, plan, store)) for cell in plan.cells], how="diagonal")
    sha256 = write_table(store.results, rows)
    errors: list[str] = rows["error"].drop_nulls().to_list()
    return Results(store.results, sha256, len(rows), len(errors), errors[0] if errors else None, rows)


def _named(cell: Cell, rows: pl.DataFrame) -> pl.DataFrame:
    names = {"cell": cell.id, "model": cell.source.load, "method": cell.method, "concept": cell.concept}
    return rows.select(*(pl.lit(text).alias(name) for name, text in names.items()), pl.all())
