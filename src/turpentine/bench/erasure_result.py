"""The outcome of an erasure, as it lies in its folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from turpentine.bench.effects import Effects
from turpentine.bench.measurement import Measurement, pictures_of
from turpentine.bench.metrics import Goal, Measure
from turpentine.bench.run_file import RunFile
from turpentine.bench.table import Table, tabulate
from turpentine.concepts import Concept
from turpentine.core.atomic_files import link_whole
from turpentine.core.errors import BadArgument, EditError
from turpentine.core.parts import TABLES, discard_damaged
from turpentine.edits import Change, load_change
from turpentine.edits.places import RUN_CHANGES
from turpentine.runs.images import STORE
from turpentine.runs.ledger import LedgerError, LostPart
from turpentine.runs.plan import Plan
from turpentine.runs.references import reference_rows
from turpentine.runs.results import compact
from turpentine.runs.store import Store

RUN, ROWS, REPORT = "run.json", "results.parquet", "report.html"


@dataclass(frozen=True, eq=False)
class ErasureResult:
    """The outcome of an erasure, as it lies in `folder`.

    Attributes:
        folder: Of the run.
        concepts: What was erased.
        edit: The change.
        table: The two lines, with summaries.
        rows: A row for each line, case and seed, as `results.parquet` has them.
        store: The pictures.
        run: The content of `run.json`.
    """

    folder: Path
    concepts: tuple[Concept, ...]
    edit: Change
    table: Table
    rows: pl.DataFrame
    store: Store
    run: RunFile

    @cached_property
    def effects(self) -> Effects:
        """The effects, from the table."""
        return Effects.of(self.table)

    @cached_property
    def before(self) -> Measurement:
        """The unedited model's rows and pictures.

        Raises:
            LedgerError: A picture is missing.
        """
        return self._measurement(pl.col("method") == "")

    @cached_property
    def after(self) -> Measurement:
        """The edited model's rows and pictures.

        Raises:
            LedgerError: A picture is missing.
        """
        return self._measurement(pl.col("method") != "")

    @property
    def errors(self) -> pl.Series:
        """Why pictures could not be drawn or judged, one for each row that has an error."""
        return self.rows["error"].drop_nulls()

    @property
    def goal(self) -> Goal:
        """Whether pictures are to show the concepts less, or more."""
        goal: Goal = self.run.identity.get("goal", "erase")
        return goal

    @property
    def left_out(self) -> str:
        """The sentence that says what is not asked for, and why; "" where nothing is left out."""
        left_out: str = self.run.about.get("left_out", "")
        return left_out

    @property
    def files(self) -> dict[str, Path]:
        """The files by what they are: edit, run, rows, report (which `turpentine.report` writes)."""
        return {
            "edit": edit_in(self.folder),
            "run": self.folder / RUN,
            "rows": self.folder / ROWS,
            "report": self.folder / REPORT,
        }

    def _measurement(self, chosen: pl.Expr) -> Measurement:
        rows = self.rows.filter(chosen)
        try:
            images = pictures_of(rows, self.store)
        except LedgerError as error:
            # A finished run draws nothing, whatever is removed.
            raise LedgerError(
                f"A picture of the run in {self.folder} is missing or damaged: run it anew with --force."
            ) from error
        return Measurement(rows.drop("condition", "model", "method", "concept"), images, self.run.identity["protocol"])


def load_erasure(out: str | os.PathLike[str]) -> ErasureResult:
    """Read a finished run from its folder, without its model.

    Raises:
        BadArgument: There is none, or it is not finished.
        EditError: The edit is damaged, or another one.
        LedgerError: What the results rest on is missing or damaged.
    """
    folder = Path(out)
    record = RunFile.read(folder / RUN)
    if record.finished is None:
        raise BadArgument(f"The run in {folder} is not finished: the command that began it goes on from there.")
    edit = load_change(edit_in(folder))
    if edit.id != record.about["edit"]:
        raise EditError(
            f"{edit_in(folder)} is not the edit that this run made: put that one back, or start again with --force."
        )
    store = Store(folder / STORE)
    plan, _ = store.planned()
    try:
        return result_of(folder, plan, store, record, edit, rows_of(folder, plan, store))
    except LostPart as error:
        raise LedgerError(f"A part of the run in {folder} is missing or damaged: run it anew with --force.") from error


def _reference_rows(plan: Plan, store: Store, measures: Sequence[Measure]) -> pl.DataFrame | None:
    """Return what judges saw in the run's real pictures; None where it has none."""
    columns = {measure.column for measure in measures if measure.to}
    judges = [judge for judge in plan.judges if columns.intersection(judge.columns)]
    references = plan.conditions[0].references
    return reference_rows(references, judges, store) if references else None


def rows_of(folder: Path, plan: Plan, store: Store) -> pl.DataFrame:
    """Return the rows of a finished run, put together again from the store if the file is missing or damaged."""
    path = folder / ROWS
    frame = TABLES.read(path) if path.is_file() else None
    if frame is not None:
        return frame
    if path.exists():
        discard_damaged(path)
    frame = compact(plan, store).frame
    link_whole(store.results, path)
    return frame


def discard(out: str | os.PathLike[str]) -> None:
    """Remove what runs leave in a folder, and the folder if nothing else is in it.

    Another program's files of these names are left alone: what to remove is known by `run.json`.
    """
    folder = Path(out)
    if not (folder / RUN).exists():
        return
    for name in (*RUN_CHANGES, RUN, ROWS, REPORT):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / STORE, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def edit_in(folder: Path) -> Path:
    """Return the file of the change in a folder; where there is none, the one that an edit would have."""
    return next((folder / name for name in RUN_CHANGES if (folder / name).exists()), folder / RUN_CHANGES[0])


def result_of(
    folder: Path, plan: Plan, store: Store, record: RunFile, edit: Change, rows: pl.DataFrame
) -> ErasureResult:
    """Return the outcome of a run, from what lies in its folder.

    Args:
        folder: Of the run.
        plan: Of its two lines.
        store: Of pictures and scores.
        record: What `run.json` says.
        edit: That was made.
        rows: One for each picture.
    """
    measures = [Measure(**measure) for measure in record.about["measures"]]
    table = tabulate(
        plan,
        rows,
        store.edits.record,
        title=", ".join(one.text for one in plan.conditions[0].concepts),
        measures=measures,
        goal=record.identity.get("goal", "erase"),
        summaries=True,
        references=_reference_rows(plan, store, measures),
    )
    return ErasureResult(folder, plan.conditions[0].concepts, edit, table, rows, store, record)
