"""A replication: the experiments of a source, with its prompts and settings, on any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.settings import Count, Finite
from turpentine.core.suggest import offer
from turpentine.explain._experiments import Experiment, Experiments, World
from turpentine.explain._subjects import WORLD, Shipped, Subject
from turpentine.explain.stops import Stop
from turpentine.explain.tour import Visits
from turpentine.judges.base import Judge
from turpentine.judges.worlds import check_judge_of
from turpentine.models.drawing_defaults import steps_and_guidance
from turpentine.models.model import Model

SOURCES = ("thesis", "tracing", "words")
"""What can be replicated."""

EMBEDDED = "emoji"

SECONDS_A_ROW, GB_A_ROW, GB_OF_WEIGHTS = 0.0073, 0.07, 2.1
"""Of Stable Diffusion 1.4 in fp16, as measured on one NVIDIA H200 at its shape (docs/cost.md)."""


class SourcePlan(Shipped):
    """What ships of a source.

    Attributes:
        title: Of its page.
        about: In a sentence.
        steps: Of a picture, for the embedded model and for others.
        prompts: Sets of them by name, for models other than the embedded one, which has prompts of its own world.
        stops: In their order.
    """

    title: str
    about: str
    steps: Mapping[World, int]
    prompts: Mapping[str, list[Subject]]
    stops: list[Experiment]


class Cost(NamedTuple):
    """What a replication takes.

    Attributes:
        rows: Of the denoiser, on the model at hand.
        sd14_rows: Of Stable Diffusion 1.4, with the source's own prompts and steps.
        hours: Of these, in fp16 on one NVIDIA H100 or H200.
        gigabytes: Of its memory.
    """

    rows: int
    sd14_rows: int
    hours: float
    gigabytes: float


@cache
def plan_of(name: str) -> SourcePlan:
    """Return what ships of a source.

    Raises:
        UnknownName: There is no such source.
    """
    if name not in SOURCES:
        raise UnknownName(f"There is no source {name!r} to replicate: there are {', '.join(SOURCES)}.")
    text = files("turpentine.explain").joinpath("sources", f"{name}.yaml").read_text(encoding="utf-8")
    return SourcePlan.model_validate(yaml.safe_load(text))


@dataclass(frozen=True)
class Replication(Visits):
    """Run a source's experiments, all prompts with all seeds, one after the other.

    Beside its table and plot each leaves the tables and figures that a page of the documents has of it.

    Args:
        source: "thesis", "tracing" or "words".
        seeds: Of each prompt's pictures.
        steps: Of DDIM; by default the source's, or fewer for the embedded model.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        rows: Of the denoiser in a call, at most; fewer take less memory.
        only: Names of the experiments to run; all by default.

    Example:
        >>> replication = Replication("words", seeds=(0,))
        >>> replication.steps_on(model)
        30
    """

    source: str
    seeds: tuple[int, ...] = tuple(range(10))
    steps: Count | None = None
    guidance_scale: Finite | None = None
    rows: Count = 256
    only: tuple[str, ...] = ()

    def steps_on(self, model: Model, part: Experiment | None = None) -> int:
        """Return the steps of a picture on a model, in an experiment that may have its own."""
        return self._steps(_world(model), part)

    def guidance_on(self, model: Model) -> float:
        """Return the guidance scale on a model."""
        return steps_and_guidance(model, guidance_scale=self.guidance_scale)[1]

    def _steps(self, world: World, part: Experiment | None) -> int:
        own = part.steps.get(world) if part else None
        return self.steps or own or plan_of(self.source).steps[world]

    def prompts(self, model: Model) -> Mapping[str, Sequence[Subject]]:
        """Return the sets of prompts for a model, by name."""
        if _world(model) == EMBEDDED:
            return {name: subjects() for name, subjects in WORLD.items()}
        return plan_of(self.source).prompts

    def experiments(self, model: Model) -> list[Experiment]:
        """Return the experiments for a model, those of `only` if it names any.

        Raises:
            UnknownName: `only` names one that there is not.
        """
        its, sets, in_world = plan_of(self.source), self.prompts(model), _world(model) == EMBEDDED
        there = [part for part in its.stops if part.subjects(sets, in_world)]
        names = [part.name for part in there]
        unknown = next((name for name in self.only if name not in names), None)
        if unknown is not None:
            raise UnknownName(f"{self.source} has no experiment {unknown!r} on this model: {offer(unknown, names)}")
        return [part for part in there if not self.only or part.name in self.only]

    def subjects(self, model: Model) -> list[Subject]:
        """Return what the experiments draw, each prompt once."""
        sets, in_world = self.prompts(model), _world(model) == EMBEDDED
        each = [subject for part in self.experiments(model) for subject in part.subjects(sets, in_world)]
        return list({subject.prompt: subject for subject in each}.values())

    def cost(self, model: Model, stops: Sequence[Stop]) -> Cost:
        """Return what the stops take, and the same of Stable Diffusion 1.4 with the source's own prompts and steps."""
        its, rows = {part.name: part for part in self.experiments(model)}, {stop.name: stop.rows for stop in stops}
        there = sum(count * self._scale(model, its[name]) for name, count in rows.items())
        return Cost(
            sum(rows.values()), round(there), there * SECONDS_A_ROW / 3600, GB_OF_WEIGHTS + self.rows * GB_A_ROW
        )

    def _scale(self, model: Model, part: Experiment) -> float:
        """Return how many times the rows of an experiment are those of it on Stable Diffusion 1.4."""
        its = plan_of(self.source)
        here = part.subjects(self.prompts(model), _world(model) == EMBEDDED)
        there = part.subjects(its.prompts, False)
        return len(there) * self._steps("other", part) / (len(here) * self.steps_on(model, part))

    def stops(self, model: Model, judge: Judge | None = None) -> list[Stop]:
        """Return the experiments, in order. Without a judge that knows every concept nothing is traced.

        Raises:
            BadArgument: There is no seed, or a prompt is too long.
            UnknownName: `only` names an experiment that there is not.
        """
        check_judge_of(model, judge)
        if not self.seeds:
            raise BadArgument("There is no seed: give one at least.")
        for subject in self.subjects(model):
            model.text.check_fits(subject.prompt)
        sets, in_world = self.prompts(model), _world(model) == EMBEDDED
        stops: list[Stop] = []
        for order, part in enumerate(self.experiments(model)):
            drawing = self.seeds, self.steps_on(model, part), self.guidance_on(model), self.rows
            stops += Experiments(model, judge, sets, in_world, *drawing).stops(part, order)
        return stops

    def about(self, model: Model) -> dict[str, Any]:
        """Return what decides the experiments' numbers: all but which of them are run."""
        settings = {**asdict(self), "guidance_scale": self.guidance_on(model)}
        return {name: value for name, value in settings.items() if name != "only"}


def _world(model: Model) -> World:
    return "emoji" if model.name.startswith(EMBEDDED) else "other"
