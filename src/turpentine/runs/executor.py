"""Where batches are drawn and judged: whole if that can be, else picture by picture, so that few are lost.

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
from turpentine.runs.drawing import Drawn, draw, judged, unjudged
from turpentine.runs.leases import Leases
from turpentine.runs.method_settings import method_of
from turpentine.runs.model_cache import Easel
from turpentine.runs.plan import Job, Plan
from turpentine.runs.retry import TRIES, GivenUp, once, tried
from turpentine.runs.specs import Batch, JudgeSpec, Recipe, Source
from turpentine.runs.store import Store

Result = TypeVar("Result")


class Studio:
    """A model, judges, and how often to try.

    models, judges: those that are at hand already; others are loaded when they are needed, and kept. leases: by which
    it is known over what a worker was lost. strict: pass errors on as they come.
    `deaths` is how many workers were lost over a piece of work already.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        leases: Leases,
        *,
        models: Mapping[Source, Model] | None = None,
        judges: Mapping[JudgeSpec, Judge] | None = None,
        strict: bool = False,
    ) -> None:
        self._plan, self._store, self._leases = plan, store, leases
        self._easel = Easel(models)
        self._judges = dict(judges or {})
        self._tried = once if strict else tried

    def load(self, source: Source) -> None:
        """Have a model at hand. Raises as `Easel.model` says."""
        self._easel.model(source)

    def clear(self) -> None:
        """Leave the model as it was."""
        self._easel.clear()

    def make(self, recipe: Recipe, checkpoint: Path, deaths: int, progress: Progress) -> Change:
        """The change of a recipe. Raises GivenUp if it cannot be made."""
        model = self._easel.model(recipe.source)
        self._easel.clear()

        def work() -> Change:
            method = method_of(recipe.method, model)
            change: Change = method(model, recipe.concepts, progress=progress, checkpoint=checkpoint)
            return change

        return self._tried(work, deaths)

    def draw(self, batch: Batch, deaths: int) -> Drawn:
        """A batch drawn whole; if that fails for good, picture by picture, so that only the guilty ones are lost.

        deaths: how many workers were lost over it already.
        """
        recipe = batch.state.recipe
        made = self._store.changes.made(recipe) if recipe else None
        if made and made.error:
            return Drawn.failed(batch, made.error)
        model = self._easel.model(batch.state.source)
        change = None
        if recipe and not self._easel.wears(recipe.key):
            change = self._store.changes.load(recipe)
        whole = partial(self._draw_on, model, batch, change)
        try:
            return self._tried(whole, deaths)
        except GivenUp as error:
            if len(batch) == 1:
                return Drawn.failed(batch, str(error))
        singles = Drawn.joined(batch, [self._draw_single(single) for single in batch.singles])
        if deaths < TRIES or any(singles.errors):
            return singles
        try:
            return self._tried_again(whole, batch.key)
        except GivenUp as error:
            return Drawn.failed(batch, str(error))

    def _draw_on(self, model: Model, batch: Batch, change: Change | None) -> Drawn:
        recipe = batch.state.recipe
        if recipe is None:
            self._easel.clear()
        elif change is not None:
            self._easel.put_on(model, recipe.key, change)
        return draw(model, batch)

    def _draw_single(self, single: Batch) -> Drawn:
        with self._alone(single.key) as deaths:
            return self.draw(single, deaths)

    def judge(self, spec: JudgeSpec, job: Job, drawn: Drawn, deaths: int) -> pl.DataFrame:
        """The scores of a batch; if that fails for good, picture by picture. deaths: as in `draw`."""
        judge = self._judge_of(spec)
        references = self._store.references(self._plan, job, drawn) if "reference" in spec.needs else ()
        whole = partial(judged, judge, spec, drawn, references)
        try:
            return self._tried(whole, deaths)
        except GivenUp:
            singles = [
                self._judge_single(judge, spec, part, references[n : n + 1]) for n, part in enumerate(drawn.parts)
            ]
        if deaths < TRIES or any(is_guilty for _, is_guilty in singles):
            return pl.concat([scores for scores, _ in singles])
        try:
            return self._tried_again(whole, f"{job.batch.key}-{spec.digest[:16]}")
        except GivenUp as error:
            return unjudged(judge, drawn, str(error))

    def _judge_single(
        self, judge: Judge, spec: JudgeSpec, drawn: Drawn, references: Sequence[Image.Image | None]
    ) -> tuple[pl.DataFrame, bool]:
        """The scores of a picture, and whether it cannot be judged."""
        with self._alone(f"{drawn.batch.key}-{spec.digest[:16]}") as deaths:
            try:
                return self._tried(partial(judged, judge, spec, drawn, references), deaths), False
            except GivenUp as error:
                return unjudged(judge, drawn, str(error)), True

    def _tried_again(self, work: Callable[[], Result], key: str) -> Result:
        """What the work gives, though workers were lost over it before: of no picture's fault, so that counts anew."""
        with self._alone(f"{key}-whole") as deaths:
            return self._tried(work, deaths)

    @contextmanager
    def _alone(self, key: str) -> Iterator[int]:
        """Hold a lease on a part of a job, and give how many workers were lost over it."""
        lease = self._leases.take(key)
        yield lease.deaths if lease else 0
        if lease:
            self._leases.release(lease, done=lease.deaths < TRIES)

    def _judge_of(self, spec: JudgeSpec) -> Judge:
        if spec not in self._judges:
            self._judges[spec] = load_judge(spec)
        return self._judges[spec]


def load_judge(spec: JudgeSpec) -> Judge:
    """The judge of a spec. Raises BadArgument if it is not the same any more."""
    judge = judges.judge(spec.name, **spec.settings)
    if JudgeSpec.of(judge) != spec:
        raise BadArgument(
            f"The judge {spec.name} is another one now than when the bench was planned: "
            "its weights or its code changed; choose another folder for what it judges from now on."
        )
    return judge
