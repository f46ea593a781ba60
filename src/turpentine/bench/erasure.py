"""An erasure from end to end: a bench of two lines, the unedited model and the edited one, over one store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, runtime_checkable
from typing import Protocol as Interface

import torch

from turpentine.bench.erasure_judges import ALWAYS, cases_for, default_judge, measures_for, why_no_pairs
from turpentine.bench.erasure_result import (
    ROWS,
    RUN,
    ErasureResult,
    discard,
    edit_in,
    load_erasure,
    result_of,
    rows_of,
)
from turpentine.bench.metrics import Goal, Measure, check_references
from turpentine.bench.run_file import RunFile
from turpentine.bench.shared_pictures import SharedPictures
from turpentine.concepts import Concept, Concepts
from turpentine.core.atomic_files import link_whole
from turpentine.core.errors import BadArgument, TurpentineError
from turpentine.core.model_argument import check_is_model
from turpentine.core.progress import Progress
from turpentine.core.threads import using_threads
from turpentine.edits import Change
from turpentine.edits.places import RUN_CHANGES
from turpentine.edits.provenance import library_versions
from turpentine.erase.best import best_for
from turpentine.judges import Judge
from turpentine.models import Model
from turpentine.runs.backends import run
from turpentine.runs.batch_size import settled
from turpentine.runs.edit_store import ending
from turpentine.runs.images import STORE
from turpentine.runs.ledger import until_whole
from turpentine.runs.method_settings import facts_of
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.references import ReferenceSet, judge_references
from turpentine.runs.specs import Condition, EditSpec, JudgeSpec, ModelSpec
from turpentine.runs.store import PLAN, Store
from turpentine.runs.worker import PhaseProgress, Worker
from turpentine.tasks.cases import Case
from turpentine.tasks.erasure_cases import concepts_of

PHASES = ("references", "erase", "before", "after")
"""In this order, so that a setting that cannot be is found before any picture is drawn.

Progress counts the units of the method in "erase", pictures in the others; there is no "references" without any."""


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
class Erasure:
    """What is erased, by what, and how it is measured: all that decides the numbers beside the model.

    Args:
        concept: What is erased: one concept, or several at once.
        method: What makes the edit; None for what the recipe has for the model and the concept.
        protocol: How pictures are drawn; by default by `Protocol.of` the model.
        judges: Who judges the pictures, beside what the pixels alone say; () for nobody. By default the emoji world's
            judge for a model of that world; for another one CLIP as a zero-shot judge if its weights are here.
        cases: What is asked of the model; by default by the concepts, the model and the judges, and to erase also for
            two objects together where a judge can name both.
        measures: More numbers to count, such as "fid of features".
        goal: Whether pictures are to show the concepts less, or more; it is how the result speaks of them.
        references: A folder of real pictures, for measures such as "fid of features to references".

    Example:
        >>> Erasure("church", judges=(), protocol=Protocol(steps=10)).goal
        'erase'
    """

    concept: Concepts
    method: Method | None = None
    protocol: Protocol | None = None
    judges: Judge | Sequence[Judge] | None = None
    cases: Sequence[Case] | None = None
    measures: Sequence[Measure] = ()
    goal: Goal = "erase"
    references: str | os.PathLike[str] | None = None


def run_erasure(
    model: Model,
    erasure: Erasure,
    out: str | os.PathLike[str],
    *,
    workers: int = 1,
    threads: int | None = None,
    force: bool = False,
    retry: bool = False,
    shared: str | os.PathLike[str] | None = None,
    progress: PhaseProgress | None = None,
) -> ErasureResult:
    """Erase a concept, or several at once, and measure the model before and after; the model itself is left as it is.

    Killed at any point, the same call resumes and comes to the same result; a finished run is only read.

    Args:
        model: What is edited.
        erasure: What is erased, by what, and how it is measured.
        out: The folder for the edit, `run.json`, `results.parquet` and the pictures.
        workers: Processes that draw and judge; more than one load the model by its name.
        threads: Of each worker on a CPU.
        force: Put this run in the place of another one in the folder.
        retry: Try again what could not be drawn or judged.
        shared: A folder for the unedited model's pictures, so that several runs draw and judge each once.
        progress: Called as `progress(phase, done, total)`, see `PHASES`.

    Raises:
        BadArgument: The folder holds a run of other settings; and whatever the method raises.
    """
    task = _Task.of(model, erasure, out, force=force, workers=workers)
    if task.record.finished and not retry:
        return load_erasure(out)
    store = Store(task.folder / STORE)
    if retry:
        store.forget_errors()
    lender = shared and SharedPictures(shared, _threads(store, threads))
    how: dict[str, Any] = {"workers": workers, "threads": threads, "edits_first": True}
    how |= {"models": {task.source: model}, "judges": task.judges}

    def work() -> None:
        task.look_at_references(store, progress)
        if lender:
            lender.lend(task.plan, store)
        run(task.plan, store, progress=progress and _by_phase(task.plan, progress), **how)

    with task.leaving_nothing(store):
        result = until_whole(work, lambda: _finished(task.folder, task.plan, store, task.record))
    if lender:
        lender.collect(task.plan, store)
    return result


def make_edit(
    model: Model,
    erasure: Erasure,
    out: str | os.PathLike[str],
    *,
    threads: int | None = None,
    force: bool = False,
    progress: PhaseProgress | None = None,
) -> tuple[Change, Path]:
    """Make the edit of an erasure and no more: `run_erasure` of the same folder goes on from it.

    Args:
        model: What is edited.
        erasure: As for `run_erasure`.
        out: The folder.
        threads: Of each worker on a CPU.
        force: Put this run in the place of another one in the folder.
        progress: Called as `progress(phase, done, total)`.

    Returns:
        The change, and its file.

    Raises:
        BadArgument: The folder holds a run of other settings; and whatever the method raises.
    """
    task = _Task.of(model, erasure, out, force=force)
    store = Store(task.folder / STORE)
    by_phase = progress and _by_phase(task.plan, progress)
    with task.leaving_nothing(store), using_threads(_threads(store, threads)):
        Worker(task.plan, store, models={task.source: model}, strict=True, progress=by_phase).make_edits()
    return _put_edit(task.folder, task.plan, store)


@dataclass(frozen=True, eq=False)
class _Task:
    """An erasure as it is planned: where, what is drawn, by whom it is judged, and the record of it."""

    folder: Path
    plan: Plan
    source: ModelSpec
    judges: Mapping[JudgeSpec, Judge]
    record: RunFile
    missing: tuple[Path, ...]
    """The folder and those that it lies in that were not there before, the inner ones first."""

    @classmethod
    def of(cls, model: Model, erasure: Erasure, out: str | os.PathLike[str], *, force: bool, workers: int = 1) -> _Task:
        check_is_model(model)
        folder, concepts = Path(out), concepts_of(erasure.concept)
        method = erasure.method or best_for(model, concepts, erasure.goal).method(model)
        judges = _all_judges(erasure.judges, model, concepts)
        specs = {JudgeSpec.of(judge): judge for judge in judges}
        source = ModelSpec.of(model)
        with_pairs = not erasure.cases and erasure.goal == "erase"
        cases = erasure.cases or cases_for(model, concepts, judges, with_pairs=with_pairs)
        check_references(erasure.measures, given=erasure.references is not None)
        references = None if erasure.references is None else ReferenceSet.of(erasure.references)
        _check_folder(folder)
        begun = None if force else Store(folder / STORE)
        protocol = settled(erasure.protocol or Protocol.of(model), model, source, begun, workers)
        common = (tuple(cases), protocol, tuple(specs))
        unedited = Condition(source, *common, concepts=concepts, references=references)
        edited = replace(unedited, edit_spec=EditSpec(source, method, concepts))
        counted = measures_for(judges, erasure.measures)
        if force:
            discard(folder)
        missing = tuple(each for each in (folder, *folder.parents) if not each.exists())
        identity = _identity(method, edited, erasure.goal, erasure.measures)
        about = _about(model, specs, counted, why_no_pairs(cases) if with_pairs else "")
        is_measured = (folder / STORE / PLAN).exists()
        record = RunFile.open(folder / RUN, identity, about, unused=() if is_measured else ("protocol", "measures"))
        plan = Plan([unedited, edited])
        return cls(folder, plan, source, specs, record, missing)

    def look_at_references(self, store: Store, progress: PhaseProgress | None) -> None:
        """Have the judges that measure against real pictures look at them."""
        if references := self.plan.conditions[0].references:
            columns = {measure["column"] for measure in self.record.about["measures"] if measure.get("to")}
            judges = {spec: judge for spec, judge in self.judges.items() if columns.intersection(spec.columns)}
            judge_references(references, judges, store, progress and partial(progress, "references"))

    @contextmanager
    def leaving_nothing(self, store: Store) -> Iterator[None]:
        """Remove the folder of a setting that cannot be, where nothing was made yet."""
        try:
            yield
        except TurpentineError:
            keys = [job.batch.key for job in self.plan.jobs if job.batch.draw_spec.edit_spec]
            if not any(store.edits.folder.glob("*")) and not store.draws.present(keys):
                discard(self.folder)
                with suppress(OSError):  # where one is there no more, or something else is in it by now
                    for folder in self.missing[int(not self.folder.exists()) :]:
                        folder.rmdir()
            raise


def _threads(store: Store, threads: int | None) -> int:
    """Return the threads of each worker: as given, as the store was begun with, or this process's."""
    begun = store.planned()[1] if (store.folder / PLAN).exists() else None
    return threads or begun or torch.get_num_threads()


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


def _about(model: Model, judges: Iterable[JudgeSpec], measures: Iterable[Measure], left_out: str) -> dict[str, Any]:
    return {
        "model": model.describe(),
        "judges": [{"name": judge.name, "settings": dict(judge.settings)} for judge in judges],
        "measures": [asdict(measure) for measure in measures],
        **({"left_out": left_out} if left_out else {}),
        "versions": library_versions(),
    }


def _check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be a run's.

    Raises:
        BadArgument: It is a file, or holds an edit of no run.
    """
    if folder.exists() and not folder.is_dir():
        raise BadArgument(f"{folder} is a file: choose another folder with --out.")
    if edit_in(folder).exists() and not (folder / RUN).exists():
        raise BadArgument(f"{edit_in(folder)} is not of a run in that folder: choose another folder with --out.")


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
    edit, _ = _put_edit(folder, plan, store)
    link_whole(store.results, folder / ROWS)
    result = result_of(folder, plan, store, record, edit, rows_of(folder, plan, store))
    record = record.finish(folder / RUN, edit.id, _seconds(plan, store), result.effects.to_json())
    return replace(result, run=record)


def _put_edit(folder: Path, plan: Plan, store: Store) -> tuple[Change, Path]:
    """Put the edit into the run's folder, and return it and its file."""
    (edit_spec,) = plan.edit_specs
    edit, entry = store.edits.load(edit_spec), store.edits.record(edit_spec)
    assert entry  # or `load` had raised
    path = folder / next(name for name in RUN_CHANGES if name.endswith(ending(edit)))
    link_whole(store.edits.folder / entry.file, path)
    return edit, path


def _seconds(plan: Plan, store: Store) -> Mapping[str, float]:
    """Return the time that making the edit took, and drawing the pictures of each line."""
    (edit_spec,) = plan.edit_specs
    entry = store.edits.record(edit_spec)
    seconds = {"erase": entry.seconds if entry else 0.0}
    for phase, edit in (("before", None), ("after", edit_spec)):
        keys = [job.batch.key for job in plan.jobs if job.batch.draw_spec.edit_spec == edit]
        seconds[phase] = float(store.draws.gather(keys)["seconds"].sum())
    return seconds
