"""An erasure from end to end: a bench of two lines, the unedited model and the edited one, over one store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, runtime_checkable
from typing import Protocol as Interface

import polars as pl

from turpentine.bench.effects import Effects
from turpentine.bench.erasure_judges import ALWAYS, cases_for, default_judge, measures_for
from turpentine.bench.measure import Measurement, pictures_of
from turpentine.bench.metrics import Goal, Measure
from turpentine.bench.run_file import RunFile
from turpentine.bench.table import Table, tabulate
from turpentine.concepts import Concept
from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import BadArgument, EditError, TurpentineError
from turpentine.core.parts import TABLES, discard_damaged
from turpentine.core.progress import Progress
from turpentine.edits import Change, load_change
from turpentine.edits.provenance import library_versions
from turpentine.judges import Judge
from turpentine.models import Model
from turpentine.runs.backends import run
from turpentine.runs.edit_store import ending
from turpentine.runs.ledger import LedgerError, until_whole
from turpentine.runs.method_settings import facts_of
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.results import compact
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec
from turpentine.runs.store import Store
from turpentine.runs.worker import PhaseProgress
from turpentine.tasks.cases import Case

PHASES = ("erase", "before", "after")
"""In this order, so that a setting that cannot be is found before any picture is drawn.

Progress counts the units of the method in "erase", pictures in "before" and "after"."""

EDITS = ("edit.safetensors", "guidance.json")
"""The files of a change: the one of an edit, or the one of a guidance."""

RUN, ROWS, REPORT = "run.json", "results.parquet", "report.html"
STORE = ".store"
"""The folder of the store within a run's."""


@runtime_checkable
class Method(Interface):
    """What makes an edit: a frozen dataclass of settings, called with a model and concepts.

    It may have what `turpentine.erase.common.Revised` has: the revision of its code, and the content of files.
    """

    def __call__(
        self,
        model: Model,
        concept: Sequence[Concept],
        *,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> Change:
        """Return the edit, or a change of the guidance; the model stays as it is."""
        ...


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
    def files(self) -> dict[str, Path]:
        """The files by what they are: edit, run, rows, report (which `turpentine.report` writes)."""
        return {
            "edit": _edit_in(self.folder),
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


def run_erasure(
    model: Model,
    method: Method,
    concept: Concept | Sequence[Concept],
    out: str | os.PathLike[str],
    *,
    protocol: Protocol | None = None,
    judges: Judge | Sequence[Judge] | None = None,
    cases: Sequence[Case] | None = None,
    measures: Sequence[Measure] = (),
    goal: Goal = "erase",
    workers: int = 1,
    threads: int | None = None,
    force: bool = False,
    retry: bool = False,
    progress: PhaseProgress | None = None,
) -> ErasureResult:
    """Erase a concept, or several at once, and measure the model before and after; the model itself is left as it is.

    Killed at any point, the same call resumes and comes to the same result; a finished run is only read.

    Args:
        model: What is edited.
        method: What makes the edit.
        concept: What is erased: one concept, or several at once.
        out: The folder for the edit, `run.json`, `results.parquet` and the pictures.
        protocol: How pictures are drawn.
        judges: Who judges the pictures, beside what the pixels alone say; () for nobody. By default the emoji world's
            judge for a model of that world; for another one CLIP as a zero-shot judge if its weights are here.
        cases: What is asked of the model; by default by the concepts, the model and the judges.
        measures: More numbers to count, such as "fid of features".
        goal: Whether pictures are to show the concepts less, or more; it is how the result speaks of them.
        workers: Processes that draw and judge; more than one load the model by its name.
        threads: Of each worker on a CPU.
        force: Put this run in the place of another one in the folder.
        retry: Try again what could not be drawn or judged.
        progress: Called as `progress(phase, done, total)`, see `PHASES`.

    Raises:
        BadArgument: The folder holds a run of other settings; and whatever the method raises.
    """
    folder, concepts = Path(out), (concept,) if isinstance(concept, Concept) else tuple(concept)
    judges = _all_judges(judges, model, concepts)
    specs = {JudgeSpec.of(judge): judge for judge in judges}
    cases = cases or cases_for(model, concepts, judges)
    source = ModelSpec.of(model)
    common = (tuple(cases), protocol or Protocol(), tuple(specs))
    edited = Condition.edited(source, method, concepts, *common)
    plan = Plan([Condition(source, *common, concepts=concepts), edited])
    counted = measures_for(judges, measures)

    _check_folder(folder)
    if force:
        discard(folder)
    record = RunFile.open(folder / RUN, _identity(method, edited, goal, measures), about=_about(model, specs, counted))
    if record.finished and not retry:
        return load_erasure(folder)
    store = Store(folder / STORE)
    if retry:
        store.forget_errors()

    def work() -> None:
        run(
            plan,
            store,
            workers=workers,
            threads=threads,
            progress=progress and _by_phase(plan, progress),
            models={source: model},
            judges=specs,
            edits_first=True,
        )

    try:
        return until_whole(work, lambda: _finished(folder, plan, store, record))
    except TurpentineError:
        # A setting that cannot be: where nothing was made yet nothing is left behind.
        if not any(store.edits.folder.glob("*")) and not store.draws.present(job.batch.key for job in plan.jobs):
            discard(folder)
        raise


def load_erasure(out: str | os.PathLike[str]) -> ErasureResult:
    """Read a finished run from its folder, without its model.

    Raises:
        BadArgument: There is none, or it is not finished.
        EditError: The edit is damaged, or another one.
    """
    folder = Path(out)
    record = RunFile.read(folder / RUN)
    if record.finished is None:
        raise BadArgument(f"The run in {folder} is not finished: the command that began it goes on from there.")
    edit = load_change(_edit_in(folder))
    if edit.id != record.about["edit"]:
        raise EditError(
            f"{_edit_in(folder)} is not the edit that this run made: put that one back, or start again with --force."
        )
    store = Store(folder / STORE)
    plan, _ = store.planned()
    return _result(folder, plan, store, record, edit, _rows(folder, plan, store))


def _rows(folder: Path, plan: Plan, store: Store) -> pl.DataFrame:
    """Return the rows of a finished run, put together again from the store if the file is missing or damaged."""
    path = folder / ROWS
    frame = TABLES.read(path) if path.is_file() else None
    if frame is not None:
        return frame
    if path.exists():
        discard_damaged(path)
    frame = compact(plan, store).frame
    _link(store.results, path)
    return frame


def discard(out: str | os.PathLike[str]) -> None:
    """Remove what runs leave in a folder, and the folder if nothing else is in it.

    Another program's files of these names are left alone: what to remove is known by `run.json`.
    """
    folder = Path(out)
    if not (folder / RUN).exists():
        return
    for name in (*EDITS, RUN, ROWS, REPORT):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / STORE, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _all_judges(judges: Judge | Sequence[Judge] | None, model: Model, concepts: Sequence[Concept]) -> tuple[Judge, ...]:
    """Return the given judges, or the default one, and those of the pixels alone."""
    if judges is None:
        default = default_judge(model, concepts)
        judges = (default,) if default else ()
    named = tuple(judges) if isinstance(judges, Iterable) else (judges,)
    return (*named, *(always() for always in ALWAYS if not any(isinstance(judge, always) for judge in named)))


def _identity(method: Method, edited: Condition, goal: Goal, measures: Sequence[Measure]) -> dict[str, Any]:
    """Return all that decides the numbers of a run, by what a user would call it."""
    return {
        "concept": [asdict(one) for one in edited.concepts],
        "method": facts_of(method),
        "model": edited.source.model,
        "protocol": edited.comparable,
        **({"measures": [str(measure) for measure in measures]} if measures else {}),
        **({"goal": goal} if goal != "erase" else {}),
    }


def _about(model: Model, judges: Iterable[JudgeSpec], measures: Iterable[Measure]) -> dict[str, Any]:
    return {
        "model": model.describe(),
        "judges": [{"name": judge.name, "settings": dict(judge.settings)} for judge in judges],
        "measures": [asdict(measure) for measure in measures],
        "versions": library_versions(),
    }


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be a run's.

    Raises:
        BadArgument: It is a file, or holds an edit of no run.
    """
    if folder.exists() and not folder.is_dir():
        raise BadArgument(f"{folder} is a file: choose another folder with --out.")
    if _edit_in(folder).exists() and not (folder / RUN).exists():
        raise BadArgument(f"{_edit_in(folder)} is not of a run in that folder: choose another folder with --out.")


def _edit_in(folder: Path) -> Path:
    """Return the file of the change in a folder; where there is none, the one that an edit would have."""
    return next((folder / name for name in EDITS if (folder / name).exists()), folder / EDITS[0])


def _by_phase(plan: Plan, progress: PhaseProgress) -> Callable[[str, int, int], None]:
    """Return a progress that counts the unedited model's pictures as "before", and those after them as "after"."""
    before = sum(len(job.batch) for job in plan.jobs if job.batch.draw_spec.edit_spec is None)

    def report(phase: str, done: int, total: int) -> None:
        if phase == "edit":
            progress("erase", done, total)
        if phase == "pictures" and done <= before:
            progress("before", done, before)
        if phase == "pictures" and done >= before:
            progress("after", done - before, total - before)

    return report


def _finished(folder: Path, plan: Plan, store: Store, record: RunFile) -> ErasureResult:
    """Put the edit and the rows into the run's folder, then the results, which mark the run as finished."""
    (edit_spec,) = plan.edit_specs
    edit, entry = store.edits.load(edit_spec), store.edits.record(edit_spec)
    assert entry  # or `load` had raised
    _link(store.edits.folder / entry.file, folder / next(name for name in EDITS if name.endswith(ending(edit))))
    _link(store.results, folder / ROWS)
    result = _result(folder, plan, store, record, edit, _rows(folder, plan, store))
    record = record.finish(folder / RUN, edit.id, _seconds(plan, store), result.effects.to_json())
    return replace(result, run=record)


def _result(folder: Path, plan: Plan, store: Store, record: RunFile, edit: Change, rows: pl.DataFrame) -> ErasureResult:
    table = tabulate(
        plan,
        rows,
        store.edits.record,
        title=", ".join(one.text for one in plan.conditions[0].concepts),
        measures=[Measure(**measure) for measure in record.about["measures"]],
        goal=record.identity.get("goal", "erase"),
        summaries=True,
    )
    return ErasureResult(folder, plan.conditions[0].concepts, edit, table, rows, store, record)


def _seconds(plan: Plan, store: Store) -> Mapping[str, float]:
    """Return the time that making the edit took, and drawing the pictures of each line."""
    (edit_spec,) = plan.edit_specs
    entry = store.edits.record(edit_spec)
    seconds = {"erase": entry.seconds if entry else 0.0}
    for phase, edit in (("before", None), ("after", edit_spec)):
        keys = [job.batch.key for job in plan.jobs if job.batch.draw_spec.edit_spec == edit]
        seconds[phase] = float(store.draws.gather(keys)["seconds"].sum())
    return seconds


def _link(source: Path, target: Path) -> None:
    """Link a file to a second place, whole; copy it where the file system knows no links."""
    with write_whole(target) as aside:
        try:
            aside.unlink()
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)
