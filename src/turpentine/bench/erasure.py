"""An erasure from end to end: the edit, the model before and after it, and what changed; resumable at any point."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, runtime_checkable
from typing import Protocol as Interface

import polars as pl

from turpentine.bench.compare import Comparison, compare
from turpentine.bench.measure import Measurement, comparable, measure, pictures_of
from turpentine.bench.metrics import Goal
from turpentine.bench.run_file import RunFile
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EditError, TurpentineError
from turpentine.core.progress import Progress
from turpentine.edits import Change, load_change
from turpentine.edits.provenance import library_versions
from turpentine.emoji.world import TEN
from turpentine.judges import EmojiJudge, Judge
from turpentine.models import Model
from turpentine.models.identity import describe
from turpentine.runs.edit_store import ending
from turpentine.runs.ledger import LedgerError, write_table
from turpentine.runs.method_settings import facts_of
from turpentine.runs.protocol import Protocol
from turpentine.runs.store import Store
from turpentine.tasks.cases import Case, erasure_cases, plain_cases

PHASES = ("erase", "before", "after")
"""In this order, so that a setting that cannot be is found before any picture is drawn."""

PhaseProgress = Callable[[str, int, int], None]
"""Called as `progress(phase, done, total)`: units of the method in "erase", pictures in "before" and "after"."""

EDITS = ("edit.safetensors", "guidance.json")
"""The files of a change: the one of an edit, or the one of a guidance."""

RUN, ROWS, REPORT = "run.json", "results.parquet", "report.html"
_CHECKPOINT, _PICTURES = ".checkpoint", ".pictures"


@runtime_checkable
class Method(Interface):
    """What erases: a frozen dataclass of settings, called with a model and concepts."""

    def __call__(
        self,
        model: Model,
        concept: Sequence[Concept],
        *,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> Change:
        """The edit, or a change of the guidance; the model stays as it is."""
        ...


@dataclass(frozen=True, eq=False)
class ErasureResult:
    """What an erasure did, as it lies in `folder`.

    edit: the change. before, after: the measurements, and comparison: both in one table. run: what `run.json` says.
    """

    folder: Path
    concepts: tuple[Concept, ...]
    edit: Change
    before: Measurement
    after: Measurement
    comparison: Comparison
    run: RunFile

    @property
    def goal(self) -> Goal:
        """What was wanted of the concepts: that pictures show them less, or more."""
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


def run_erasure(
    model: Model,
    method: Method,
    concept: Concept | Sequence[Concept],
    out: str | os.PathLike[str],
    *,
    protocol: Protocol | None = None,
    judge: Judge | None = None,
    cases: Sequence[Case] | None = None,
    goal: Goal = "erase",
    force: bool = False,
    progress: PhaseProgress | None = None,
) -> ErasureResult:
    """Erase a concept, or several at once, and measure the model before and after; the model itself is left as it is.

    out: the folder for `edit.safetensors`, `run.json`, `results.parquet` and the pictures. Killed at any point, the
        same call goes on with what was in flight and comes to the same result; a finished run is only read.
    judge, cases: by default those of the emoji world for a model of that world; for another one no judge, and a few
        cases to look at.
    goal: what is wanted of the concepts, which is how the result speaks of them: that pictures show them less, or more.
    force: put this run in the place of another one in the folder.
    Raises BadArgument if the folder holds a run of other settings, and whatever the method raises.
    """
    folder, concepts = Path(out), (concept,) if isinstance(concept, Concept) else tuple(concept)
    protocol = protocol or Protocol()
    is_of_the_world = _draws_emoji(model)
    cases = cases or (erasure_cases(concepts) if is_of_the_world else plain_cases(concepts))
    judge = judge or (EmojiJudge() if is_of_the_world else None)
    path = _in_folder(folder)
    if force:
        discard(folder)
    rules = comparable(cases, judge, protocol)
    run = RunFile.open(path, {**identify(model, method, concepts, rules), **_told(goal)}, about=_about(model))
    if run.finished:
        return load_erasure(folder)
    edit = _erase(model, method, concepts, run, _phase(progress, "erase"))

    def measured(phase: str) -> Measurement:
        with run.timed(phase):
            return measure(model, cases, judge, protocol, store=_store(folder), progress=_phase(progress, phase))

    before = measured("before")
    with edit.on(model):
        after = measured("after")
    result = ErasureResult(folder, concepts, edit, before, after, compare(before, after), run)
    _finish(result)
    return result


def load_erasure(out: str | os.PathLike[str]) -> ErasureResult:
    """A finished run from its folder, without its model.

    Raises BadArgument if there is none, or it is not finished, and LedgerError for a picture that is missing.
    """
    folder = Path(out)
    run = RunFile.read(folder / RUN)
    if run.finished is None:
        raise BadArgument(f"The run in {folder} is not finished: the command that began it goes on from there.")
    rows = pl.read_parquet(folder / ROWS, glob=False)
    before, after = (_measured(rows.filter(when=phase).drop("when"), run, folder) for phase in ("before", "after"))
    edit = _made_before(_edit_in(folder), run)
    return ErasureResult(folder, edit.provenance.concepts, edit, before, after, compare(before, after), run)


def _measured(rows: pl.DataFrame, run: RunFile, folder: Path) -> Measurement:
    try:
        return Measurement(rows, pictures_of(rows, _store(folder)), run.identity["protocol"])
    except LedgerError as error:
        # A finished run draws nothing, whatever is removed.
        raise LedgerError(
            f"A picture of the run in {folder} is missing or damaged: run it anew with --force."
        ) from error


def discard(out: str | os.PathLike[str]) -> None:
    """Remove what runs leave in a folder, and the folder if nothing else is in it.

    Another program's files of these names are left alone: what to remove is known by `run.json`.
    """
    folder = Path(out)
    if not (folder / RUN).exists():
        return
    for name in (*EDITS, RUN, ROWS, REPORT):
        (folder / name).unlink(missing_ok=True)
    for name in (_CHECKPOINT, _PICTURES):
        shutil.rmtree(folder / name, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def identify(model: Model, method: Method, concepts: Sequence[Concept], protocol: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the numbers of a run, by what a user would call it."""
    return {
        "concept": [asdict(one) for one in concepts],
        "method": facts_of(method),
        "model": describe(model),
        "protocol": dict(protocol),
    }


def _told(goal: Goal) -> dict[str, Any]:
    """The goal, where it is not that of every run before there was another."""
    return {} if goal == "erase" else {"goal": goal}


def _about(model: Model) -> dict[str, Any]:
    return {"model": model.describe(), "versions": library_versions()}


def _draws_emoji(model: Model) -> bool:
    """The world's models draw 32 or 64 px and know its words; another small model does not."""
    return model.describe()["picture"] in {"32 x 32", "64 x 64"} and not model.text.unknown_words(" ".join(TEN))


def _in_folder(folder: Path) -> Path:
    """Where `run.json` is or will be. Raises BadArgument for a file, or a folder with an edit of no run."""
    if folder.exists() and not folder.is_dir():
        raise BadArgument(f"{folder} is a file: choose another folder with --out.")
    if _edit_in(folder).exists() and not (folder / RUN).exists():
        raise BadArgument(f"{_edit_in(folder)} is not of a run in that folder: choose another folder with --out.")
    return folder / RUN


def _phase(progress: PhaseProgress | None, phase: str) -> Progress | None:
    return partial(progress, phase) if progress else None


def _store(folder: Path) -> Store:
    return Store(folder / _PICTURES)


def _edit_in(folder: Path) -> Path:
    """The file of the change that is in a folder; where there is none, that of an edit."""
    return next((folder / name for name in EDITS if (folder / name).exists()), folder / EDITS[0])


def _erase(
    model: Model, method: Method, concepts: tuple[Concept, ...], run: RunFile, progress: Progress | None
) -> Change:
    """The edit of this run, from its file if it is there."""
    folder = run.path.parent
    if _edit_in(folder).exists():
        return _made_before(_edit_in(folder), run)
    try:
        with run.timed("erase"):
            edit = method(model, concepts, progress=progress, checkpoint=folder / _CHECKPOINT)
            edit.save(_file_of(edit, folder))
            run.about["edit"] = edit.id
    except TurpentineError:
        # A setting that cannot be: where nothing was made yet nothing is left behind.
        if not (folder / _CHECKPOINT).exists() and not (folder / _PICTURES).exists():
            discard(folder)
        raise
    shutil.rmtree(folder / _CHECKPOINT, ignore_errors=True)
    return edit


def _file_of(edit: Change, folder: Path) -> Path:
    return folder / next(name for name in EDITS if name.endswith(ending(edit)))


def _made_before(path: Path, run: RunFile) -> Change:
    edit = load_change(path)
    if run.about.setdefault("edit", edit.id) != edit.id:
        raise EditError(f"{path} is not the edit that this run made: put that one back, or start again with --force.")
    return edit


def _finish(result: ErasureResult) -> None:
    """Write the rows, then the results, which say that the run is finished."""
    phases = {"before": result.before, "after": result.after}
    rows = [measured.rows.with_columns(pl.lit(phase).alias("when")) for phase, measured in phases.items()]
    write_table(result.files["rows"], pl.concat(rows))
    result.run.finish(result.comparison.to_json())
