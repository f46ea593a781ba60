"""Execution of batches: drawn and judged whole if possible, else picture by picture, so that few are lost.

Picture by picture the last bits differ. So where workers were lost over a batch its pictures are only looked at one by
one, and if none of them is guilty the batch is done whole: it was the machine, or whoever killed them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl
from PIL import Image

from turpentine import judges
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.edits import Change
from turpentine.judges import Judge
from turpentine.models import Model
from turpentine.runs.batches import Batch
from turpentine.runs.drawing import BatchImages, draw, judged, unjudged
from turpentine.runs.leases import Leases
from turpentine.runs.method_settings import method_of
from turpentine.runs.model_cache import ModelCache
from turpentine.runs.plan import Job, Plan
from turpentine.runs.retry import TRIES, GivenUp, with_retries, without_retries
from turpentine.runs.specs import EditSpec, JudgeSpec, ModelSpec
from turpentine.runs.store import Store

Result = TypeVar("Result")


class Executor:
    """Makes edits, draws batches and judges them, with retries.

    In its methods `deaths` is how many workers were lost over a piece of work already.

    Args:
        plan: The work.
        store: Where finished parts are.
        leases: Count the workers that were lost over a piece of work.
        models: Models that are loaded already; others are loaded when needed, one at a time.
        judges: Judges that are loaded already; others are loaded when needed, and kept.
        strict: Pass errors on as they come instead of retrying.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        leases: Leases,
        *,
        models: Mapping[ModelSpec, Model] | None = None,
        judges: Mapping[JudgeSpec, Judge] | None = None,
        strict: bool = False,
    ) -> None:
        self._plan, self._store, self._leases = plan, store, leases
        self._models = ModelCache(models)
        self._judges = dict(judges or {})
        self._attempt = without_retries if strict else with_retries

    def load(self, source: ModelSpec) -> None:
        """Load a model, with the errors of `ModelCache.model`."""
        self._models.model(source)

    def clear(self) -> None:
        """Take all edits off the model."""
        self._models.clear()

    def make(self, edit_spec: EditSpec, checkpoint: Path, deaths: int, progress: Progress) -> Change:
        """Make the change of an edit spec, on the model with the changes below it.

        Args:
            edit_spec: What to make it from.
            checkpoint: Folder for the method's checkpoints.
            deaths: Workers that were lost over it already.
            progress: Called with the method's units done, and in all.

        Raises:
            GivenUp: It cannot be made, or one below it could not.
            LostPart: A change below it is not there, or was damaged and has been removed.
        """
        model, below = self._models.model(edit_spec.source), edit_spec.below
        if error := self._error_of(below):
            raise GivenUp(error)
        changes = self._changes(below)

        def work() -> Change:
            self._put_on(model, below, changes)
            method = method_of(edit_spec.method, model)
            change: Change = method(model, edit_spec.concepts, progress=progress, checkpoint=checkpoint)
            return change

        return self._attempt(work, deaths)

    def draw(self, batch: Batch, deaths: int) -> BatchImages:
        """Draw a batch whole; if that fails for good, picture by picture, so that only the guilty ones are lost."""
        edit_spec = batch.draw_spec.edit_spec
        if error := self._error_of(edit_spec):
            return BatchImages.failed(batch, error)
        model = self._models.model(batch.draw_spec.source)
        whole = partial(self._draw_on, model, batch, self._changes(edit_spec))
        try:
            return self._attempt(whole, deaths)
        except GivenUp as error:
            if len(batch) == 1:
                return BatchImages.failed(batch, str(error))
        singles = BatchImages.joined(batch, [self._draw_single(single) for single in batch.singles])
        if deaths < TRIES or any(singles.errors):
            return singles
        try:
            return self._attempt_again(whole, batch.key)
        except GivenUp as error:
            return BatchImages.failed(batch, str(error))

    def _draw_on(self, model: Model, batch: Batch, changes: Sequence[Change]) -> BatchImages:
        self._put_on(model, batch.draw_spec.edit_spec, changes)
        return draw(model, batch)

    def _error_of(self, edit_spec: EditSpec | None) -> str | None:
        """Return why an edit, or one below it, could not be made."""
        for each in edit_spec.stack if edit_spec else ():
            record = self._store.edits.record(each)
            if record and record.error:
                return record.error if each == edit_spec else f"{each.name}, below it, cannot be made: {record.error}"
        return None

    def _changes(self, edit_spec: EditSpec | None) -> list[Change]:
        """Return the changes of a stack in their order; none where they are on the model already."""
        if edit_spec is None or self._models.has_on(edit_spec.key):
            return []
        return [self._store.edits.load(each) for each in edit_spec.stack]

    def _put_on(self, model: Model, edit_spec: EditSpec | None, changes: Sequence[Change]) -> None:
        """Put a stack on the model, in the place of another one; `changes` are from `_changes`."""
        if edit_spec is None:
            self._models.clear()
        elif changes:
            self._models.apply(model, edit_spec.key, changes)

    def _draw_single(self, single: Batch) -> BatchImages:
        with self._alone(single.key) as deaths:
            return self.draw(single, deaths)

    def judge(self, spec: JudgeSpec, job: Job, drawn_batch: BatchImages, deaths: int) -> pl.DataFrame:
        """Judge a batch whole; if that fails for good, picture by picture."""
        judge = self._judge_of(spec)
        references = self._store.references(self._plan, job, drawn_batch) if "reference" in spec.needs else ()
        whole = partial(judged, judge, spec, drawn_batch, references)
        try:
            return self._attempt(whole, deaths)
        except GivenUp:
            singles = [
                self._judge_single(judge, spec, part, references[n : n + 1]) for n, part in enumerate(drawn_batch.parts)
            ]
        if deaths < TRIES or any(is_guilty for _, is_guilty in singles):
            return pl.concat([scores for scores, _ in singles])
        try:
            return self._attempt_again(whole, f"{job.batch.key}-{spec.digest[:16]}")
        except GivenUp as error:
            return unjudged(judge, drawn_batch, str(error))

    def _judge_single(
        self, judge: Judge, spec: JudgeSpec, drawn_batch: BatchImages, references: Sequence[Image.Image | None]
    ) -> tuple[pl.DataFrame, bool]:
        """Return the scores of a picture, and whether it cannot be judged."""
        with self._alone(f"{drawn_batch.batch.key}-{spec.digest[:16]}") as deaths:
            try:
                return self._attempt(partial(judged, judge, spec, drawn_batch, references), deaths), False
            except GivenUp as error:
                return unjudged(judge, drawn_batch, str(error)), True

    def _attempt_again(self, work: Callable[[], Result], key: str) -> Result:
        """Return what `work` returns, though workers were lost over it: of no picture's fault, so deaths count anew."""
        with self._alone(f"{key}-whole") as deaths:
            return self._attempt(work, deaths)

    @contextmanager
    def _alone(self, key: str) -> Iterator[int]:
        """Hold a lease on a part of a job, and yield how many workers were lost over it."""
        lease = self._leases.take(key)
        yield lease.deaths if lease else 0
        if lease:
            self._leases.release(lease, done=lease.deaths < TRIES)

    def _judge_of(self, spec: JudgeSpec) -> Judge:
        if spec not in self._judges:
            self._judges[spec] = load_judge(spec)
        return self._judges[spec]


def load_judge(spec: JudgeSpec) -> Judge:
    """Make the judge of a spec.

    Raises:
        BadArgument: Its code or its weights changed since the spec was written.
    """
    judge = judges.judge(spec.name, **spec.settings)
    if JudgeSpec.of(judge) != spec:
        raise BadArgument(
            f"The judge {spec.name} is another one now than when the bench was planned: "
            "its weights or its code changed; choose another folder for what it judges from now on."
        )
    return judge
