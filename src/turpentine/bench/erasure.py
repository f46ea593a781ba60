"""An erasure from end to end: the edit, the model before and after it, and what changed; resumable at any point."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, runtime_checkable
from typing import Protocol as Interface

import polars as pl

from turpentine.bench.cases import Case, erasure_cases, plain_cases
from turpentine.bench.compare import Comparison, compare
from turpentine.bench.ledger import Ledger
from turpentine.bench.measure import Measurement, comparable, measure, pictures_in
from turpentine.bench.protocol import Protocol
from turpentine.bench.run_file import RunFile
from turpentine.concepts import Concept
from turpentine.edits import Edit, stack_of
from turpentine.edits.provenance import library_versions
from turpentine.emoji.world import TEN
from turpentine.errors import BadArgument, EditError, TurpentineError
from turpentine.files import write_whole
from turpentine.judges import EmojiJudge, Judge
from turpentine.models import Model, Sites
from turpentine.progress import Progress

PHASES = ("erase", "before", "after")
"""In this order, so that a setting that cannot be is found before any picture is drawn."""

PhaseProgress = Callable[[str, int, int], None]
"""Called as `progress(phase, done, total)`: units of the method in "erase", pictures in "before" and "after"."""

EDIT, RUN, ROWS, REPORT = "edit.safetensors", "run.json", "results.parquet", "report.html"
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
    ) -> Edit:
        """The edit; the model stays as it is."""
        ...


@dataclass(frozen=True, eq=False)
class ErasureResult:
    """What an erasure did, as it lies in `folder`.

    edit: the change. before, after: the measurements, and comparison: both in one table. run: what `run.json` says.
    """

    folder: Path
    concepts: tuple[Concept, ...]
    edit: Edit
    before: Measurement
    after: Measurement
    comparison: Comparison
    run: RunFile

    @property
    def files(self) -> dict[str, Path]:
        """The files by what they are: edit, run, rows, report (which `turpentine.report` writes)."""
        return {
            "edit": self.folder / EDIT,
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
    force: bool = False,
    progress: PhaseProgress | None = None,
) -> ErasureResult:
    """Erase a concept, or several at once, and measure the model before and after; the model itself is left as it is.

    out: the folder for `edit.safetensors`, `run.json`, `results.parquet` and the pictures. Killed at any point, the
        same call goes on with what was in flight and comes to the same result; a finished run is only read.
    judge, cases: by default those of the emoji world for a model of that world; for another one no judge, and a few
        cases to look at.
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
    run = RunFile.open(path, identify(model, method, concepts, rules), about=_about(model))
    if run.finished:
        return load_erasure(folder)
    edit = _erase(model, method, concepts, run, _phase(progress, "erase"))

    def measured(phase: str) -> Measurement:
        with run.timed(phase):
            kept = _ledger(folder, phase)
            return measure(model, cases, judge, protocol, ledger=kept, progress=_phase(progress, phase))

    before = measured("before")
    with edit.on(model):
        after = measured("after")
    result = ErasureResult(folder, concepts, edit, before, after, compare(before, after), run)
    _finish(result)
    return result


def load_erasure(out: str | os.PathLike[str]) -> ErasureResult:
    """A finished run from its folder, without its model. Raises BadArgument if there is none, or it is not finished."""
    folder = Path(out)
    run = RunFile.read(folder / RUN)
    if run.finished is None:
        raise BadArgument(f"The run in {folder} is not finished: the command that began it goes on from there.")
    rows = pl.read_parquet(folder / ROWS)
    before, after = (
        Measurement(rows.filter(when=phase).drop("when"), pictures_in(_ledger(folder, phase)), run.identity["protocol"])
        for phase in ("before", "after")
    )
    edit = _made_before(folder / EDIT, run)
    return ErasureResult(folder, edit.provenance.concepts, edit, before, after, compare(before, after), run)


def discard(out: str | os.PathLike[str]) -> None:
    """Remove what runs leave in a folder, and the folder if nothing else is in it.

    Another program's files of these names are left alone: what to remove is known by `run.json`.
    """
    folder = Path(out)
    if not (folder / RUN).exists():
        return
    for name in (EDIT, RUN, ROWS, REPORT):
        (folder / name).unlink(missing_ok=True)
    for name in (_CHECKPOINT, _PICTURES):
        shutil.rmtree(folder / name, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def identify(model: Model, method: Method, concepts: Sequence[Concept], protocol: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the numbers of a run, by what a user would call it."""
    return {
        "concept": [{field.name: getattr(one, field.name) for field in fields(one)} for one in concepts],
        "method": {"name": type(method).__name__, "settings": _settings(method)},
        "model": {"base": model.fingerprint, "dtype": str(model.dtype), "edits": list(stack_of(model).ids)},
        "protocol": dict(protocol),
    }


def _settings(method: Method) -> dict[str, Any]:
    """A method's fields as JSON has them; a value of another kind is told by its parts, or by how it prints."""
    if not is_dataclass(method):
        return {}
    return {field.name: _plain(getattr(method, field.name)) for field in fields(method)}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Sites):
        # How it prints is short: two selections may print alike.
        return {"sites": [site.name for site in value], "window": _plain(value.window and astuple(value.window))}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return repr(value)


def _about(model: Model) -> dict[str, Any]:
    return {"model": model.describe(), "versions": library_versions()}


def _draws_emoji(model: Model) -> bool:
    """The world's models draw 32 or 64 px and know its words; another small model does not."""
    return model.describe()["picture"] in {"32 x 32", "64 x 64"} and not model.unknown_words(" ".join(TEN))


def _in_folder(folder: Path) -> Path:
    """Where `run.json` is or will be. Raises BadArgument for a file, or a folder with an edit of no run."""
    if folder.exists() and not folder.is_dir():
        raise BadArgument(f"{folder} is a file: choose another folder with --out.")
    if (folder / EDIT).exists() and not (folder / RUN).exists():
        raise BadArgument(f"{folder / EDIT} is not of a run in that folder: choose another folder with --out.")
    return folder / RUN


def _phase(progress: PhaseProgress | None, phase: str) -> Progress | None:
    return partial(progress, phase) if progress else None


def _ledger(folder: Path, phase: str) -> Ledger:
    return Ledger(folder / _PICTURES / phase)


def _erase(
    model: Model, method: Method, concepts: tuple[Concept, ...], run: RunFile, progress: Progress | None
) -> Edit:
    """The edit of this run, from its file if it is there."""
    folder = run.path.parent
    if (folder / EDIT).exists():
        return _made_before(folder / EDIT, run)
    try:
        with run.timed("erase"):
            edit = method(model, concepts, progress=progress, checkpoint=folder / _CHECKPOINT)
            edit.save(folder / EDIT)
            run.about["edit"] = edit.id
    except TurpentineError:
        # A setting that cannot be: where nothing was made yet nothing is left behind.
        if not (folder / _CHECKPOINT).exists() and not (folder / _PICTURES).exists():
            discard(folder)
        raise
    shutil.rmtree(folder / _CHECKPOINT, ignore_errors=True)
    return edit


def _made_before(path: Path, run: RunFile) -> Edit:
    edit = Edit.load(path)
    if run.about.setdefault("edit", edit.id) != edit.id:
        raise EditError(f"{path} is not the edit that this run made: put that one back, or start again with --force.")
    return edit


def _finish(result: ErasureResult) -> None:
    """Write the rows, then the results, which say that the run is finished."""
    phases = {"before": result.before, "after": result.after}
    rows = [measured.rows.with_columns(pl.lit(phase).alias("when")) for phase, measured in phases.items()]
    with write_whole(result.files["rows"]) as aside:
        pl.concat(rows).write_parquet(aside)
    result.run.finish(result.comparison.to_json())
