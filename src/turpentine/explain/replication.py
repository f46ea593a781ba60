"""A replication: the experiments of a source, with its prompts and settings, on any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite
from turpentine.explain.contributions import Contributions
from turpentine.explain.dynamics import Dynamics
from turpentine.explain.heads import Heads
from turpentine.explain.intervene import letters_stop
from turpentine.explain.locogen import LocoGen
from turpentine.explain.maps import Maps
from turpentine.explain.stops import Stop, TourInputs
from turpentine.explain.tour import Visits
from turpentine.explain.trace import trace_stop
from turpentine.judges.base import Judge, Sought, sought
from turpentine.judges.worlds import check_judge_of
from turpentine.models.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOURCES = ("thesis", "tracing", "words")
"""What can be replicated."""

EMBEDDED = "emoji"
PICTURES = 5
"""Of as many prompts, that a plot of pictures shows."""

SECONDS_A_ROW, GB_A_ROW, GB_OF_WEIGHTS = 0.0073, 0.07, 2.1
"""Of Stable Diffusion 1.4 in fp16, as measured on one NVIDIA H200 at its shape (docs/cost.md)."""


class _Shipped(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(_Shipped):
    """A prompt, and the words of it that it is about."""

    prompt: str
    concept: str


class Experiment(_Shipped):
    """One stop of a replication.

    Attributes:
        name: Of its folder.
        question: That it answers; that of the instrument if empty.
        instrument: Its name.
        letters: Of interventions, with spaces between, or "each layer".
        kind: Of the modules; of a trace, which part of the model.
    """

    name: str
    question: str
    instrument: Literal["dynamics", "intervene", "maps", "contributions", "heads", "trace", "locogen"]
    letters: str = ""
    kind: str = "cross-attention"


class SourcePlan(_Shipped):
    """What ships of a source.

    Attributes:
        title: Of its page.
        about: In a sentence.
        steps: Of a picture, for the embedded model and for others.
        prompts: For models other than the embedded one, which has prompts of its own world.
        stops: In their order.
    """

    title: str
    about: str
    steps: Mapping[Literal["emoji", "other"], int]
    prompts: list[Subject]
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
    return SourcePlan.model_validate(_shipped(name))


def _shipped(name: str) -> Any:
    return yaml.safe_load(files("turpentine.explain").joinpath("sources", f"{name}.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Replication(Visits):
    """Run a source's experiments, all prompts with all seeds, one after the other.

    Args:
        source: "thesis", "tracing" or "words".
        seeds: Of each prompt's pictures.
        steps: Of DDIM; by default the source's, or fewer for the embedded model.
        guidance_scale: How strongly the prompt guides (w).
        rows: Of the denoiser in a call, at most; fewer take less memory.

    Example:
        >>> replication = Replication("words", seeds=(0,))
        >>> replication.steps_on(model)
        30
    """

    source: str
    seeds: tuple[int, ...] = tuple(range(10))
    steps: Count | None = None
    guidance_scale: Finite = 4.0
    rows: Count = 256

    def steps_on(self, model: Model) -> int:
        """Return the steps of a picture on a model."""
        return self.steps or plan_of(self.source).steps[_world(model)]

    def subjects(self, model: Model) -> list[Subject]:
        """Return the prompts for a model."""
        if _world(model) == EMBEDDED:
            return [Subject.model_validate(each) for each in _shipped(EMBEDDED)]
        return plan_of(self.source).prompts

    def cost(self, model: Model, stops: Sequence[Stop]) -> Cost:
        """Return what the stops take, and the same of Stable Diffusion 1.4 with the source's own prompts and steps."""
        its, rows = plan_of(self.source), sum(stop.rows for stop in stops)
        here = len(self.subjects(model)) * self.steps_on(model)
        there = round(rows * len(its.prompts) * (self.steps or its.steps["other"]) / here)
        return Cost(rows, there, there * SECONDS_A_ROW / 3600, GB_OF_WEIGHTS + self.rows * GB_A_ROW)

    def stops(self, model: Model, judge: Judge | None = None) -> list[Stop]:
        """Return the experiments, in order. Without a judge that knows every concept nothing is traced.

        Raises:
            BadArgument: There is no seed, or a prompt is too long.
        """
        check_judge_of(model, judge)
        if not self.seeds:
            raise BadArgument("There is no seed: give one at least.")
        subjects = self.subjects(model)
        for subject in subjects:
            model.text.check_fits(subject.prompt)
        inputs = _Inputs(self, model, judge, subjects)
        return [stop for order, part in enumerate(plan_of(self.source).stops) for stop in inputs.stops(part, order)]


class _Inputs:
    """The pictures of a replication, and its experiments as stops."""

    def __init__(
        self, replication: Replication, model: Model, judge: Judge | None, subjects: Sequence[Subject]
    ) -> None:
        self._judge, self._model, self._replication = judge, model, replication
        self._of = [subject for subject in subjects for _ in replication.seeds]
        self._tour = self._pictures(self._of, None, None)

    def _pictures(self, of: Sequence[Subject], concept: str | None, target: Sought | None) -> TourInputs:
        replication = self._replication
        seeds = list(replication.seeds) * (len(of) // len(replication.seeds))
        prompts = [subject.prompt for subject in of]
        drawing = replication.steps_on(self._model), replication.guidance_scale, replication.rows
        return TourInputs(self._model, self._judge, target, prompts, concept, seeds, *drawing)

    def stops(self, part: Experiment, order: int) -> list[Stop]:
        """Return an experiment's stops: one, or none if the model or the judge cannot answer."""
        tour = self._tour
        match part.instrument:
            case "intervene":
                return [letters_stop(part.name, part.question, order, tour, self._letters(part), kind=part.kind)]
            case "trace":
                return self._traced(part, order)
            case "locogen":
                return self._located(order)
            case "contributions":
                return [self._plain(part, order, Contributions(batch_size=tour.batch_size, **tour.drawing))]
            case "maps":
                return [self._plain(part, order, Maps(batch_size=tour.batch_size, **tour.drawing))]
            case "dynamics" | "heads":
                own = Dynamics.stops(tour) if part.instrument == "dynamics" else Heads.stops(tour)
                return [replace(stop, name=part.name, question=part.question, order=order) for stop in own]

    def _letters(self, part: Experiment) -> list[str]:
        if part.letters != "each layer":
            return part.letters.split()
        return [f"q{site.label}" for site in self._model.sites.only(kind=part.kind, level="module")]

    def _plain(self, part: Experiment, order: int, instrument: Any) -> Stop:
        tour = self._tour

        def run(_: Path | None, progress: Progress | None) -> Any:
            return instrument(tour.model, tour.prompts, tour.seeds, progress=progress)

        def plot(finding: Any) -> Figure:
            firsts = range(0, len(tour.seeds), len(self._replication.seeds))
            figure: Figure = finding.of_pictures(firsts[:PICTURES]).plot()
            return figure

        return Stop(part.name, part.question, order, tour.rows_to_draw, instrument, run, plot=plot)

    def _targets(self) -> list[Sought] | None:
        """Return the judge's column and label for each picture's concept; None if it lacks one, or has two columns."""
        each = [sought(self._judge, subject.concept) if self._judge else None for subject in self._of]
        targets = [target for target in each if target is not None]
        return targets if len(targets) == len(each) and len({target.column for target in targets}) == 1 else None

    def _traced(self, part: Experiment, order: int) -> list[Stop]:
        targets, where = self._targets(), "text" if part.kind == "text" else "denoiser"
        if targets is None:
            return []
        concepts, labels = [subject.concept for subject in self._of], [target.label for target in targets]
        return [trace_stop(where, self._tour, concepts, labels, targets[0].column, order)]  # type: ignore[arg-type]

    def _located(self, order: int) -> list[Stop]:
        """Return LocoGen's stop for each concept, if the judge has labels for them."""
        targets, judge = self._targets(), self._judge
        if targets is None or judge is None or not judge.columns[targets[0].column].labels:
            return []
        return [
            self._window_stop(concept, judge, order) for concept in dict.fromkeys(each.concept for each in self._of)
        ]

    def _window_stop(self, concept: str, judge: Judge, order: int) -> Stop:
        tour = self._pictures([each for each in self._of if each.concept == concept], concept, None)
        instrument = LocoGen(rows=tour.rows, **tour.drawing)
        windows = len(list(tour.model.sites.only(kind="cross-attention", level="module"))) - instrument.width + 1

        def run(cache: Path | None, progress: Progress | None) -> Any:
            about: dict[str, Any] = {"concept": concept, "judge": judge, "cache": cache, "progress": progress}
            return instrument(tour.model, tour.prompts, tour.seeds, **about)

        question = f"Which layers in a row control “{concept}”?"
        name = f"locogen-{concept.replace(' ', '-')}"
        return Stop(name, question, order, (1 + windows) * tour.rows_to_draw, instrument, run)


def _world(model: Model) -> Literal["emoji", "other"]:
    return "emoji" if model.name.startswith(EMBEDDED) else "other"
