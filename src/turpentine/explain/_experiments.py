"""The experiments of a replication, as stops: each an instrument on prompts that ship, and what pages show of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import polars as pl
from PIL import Image

from turpentine.concepts import with_article
from turpentine.core.errors import EmptySelection
from turpentine.core.progress import Progress
from turpentine.emoji.world import OBJECTS, TEN, Picture, Placed, render, styles_of, visible_on
from turpentine.explain import _pages, _word_pages
from turpentine.explain._codes import modules_called
from turpentine.explain._masks import Mask
from turpentine.explain._pages import Pictures
from turpentine.explain._series import Series, in_series, part_of_progress
from turpentine.explain._subjects import OBJECT, Shipped, Subject, background, company, head_groups
from turpentine.explain.clock import Clock
from turpentine.explain.coar import COAR
from turpentine.explain.contributions import KINDS, Contributions
from turpentine.explain.dynamics import Dynamics
from turpentine.explain.entangle import Entangle
from turpentine.explain.heads import TOUR_GROUPS, Heads
from turpentine.explain.intervene import letters_stop
from turpentine.explain.locogen import LocoGen, pooled
from turpentine.explain.maps import Maps
from turpentine.explain.segment import Segment, SegmentFinding
from turpentine.explain.stops import Page, Stop, TourInputs
from turpentine.explain.trace import trace_stop
from turpentine.judges.base import Judge, Sought, sought
from turpentine.models.branches import branch_rows
from turpentine.models.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

World: TypeAlias = Literal["emoji", "other"]
"""Whether a model draws the embedded world."""

EXAMPLES = 5
"""Prompts of which a plot shows a picture."""

ABLATED_SEEDS, ABLATED_STEPS = 4, 10
"""Of the run over which modules are ablated, at most."""

EACH = "*"
"""Among letters: the label of each module, such as q* for each severed alone."""

Make = Callable[..., Page]

PAGES: Mapping[str, Make] = {
    "intervene": _pages.interventions,
    "clock": _pages.interventions,
    "windows": _pages.windows,
    "grid": _pages.grid,
    "two": _pages.two,
    "memorised": _pages.memorised,
    "dynamics": _pages.dynamics,
    "heads": _pages.heads,
    "trace": _pages.trace,
    "locogen": _pages.locogen,
    "coar": _pages.coar,
    "maps": _word_pages.maps,
    "small": _word_pages.small,
    "pairs": _word_pages.pairs,
    "entangle": _word_pages.company,
    "contributions": _word_pages.named,
    "segment": _word_pages.segments,
}
"""What makes tables and figures of a finding, by the name that an experiment has for it."""


class Experiment(Shipped):
    """One stop of a replication.

    Attributes:
        name: Of its folder, and of its main table.
        question: That it answers; that of the instrument if empty.
        instrument: Its name.
        prompts: Sets of prompts, by name; a model for which one is missing has not this stop.
        column: What the traced words are of.
        letters: Of interventions, with spaces between; "q*" stands for each module severed alone, and "q1:* q2:*" for
            the same in two windows, module by module.
        kind: Of the modules; of a trace, which part of the model.
        sites: Labels of the modules, for attention's contributions.
        page: What makes its tables; as its instrument if empty.
        figure: The name of its figure; as its own if empty.
        world: Whether it needs pictures or objects of the embedded world.
        steps: Of a picture, where they are not those of its source.
    """

    name: str
    question: str = ""
    instrument: Literal[
        "dynamics",
        "intervene",
        "clock",
        "maps",
        "contributions",
        "heads",
        "trace",
        "locogen",
        "coar",
        "entangle",
        "segment",
    ]
    prompts: tuple[str, ...] = ("captions",)
    column: str = OBJECT
    letters: str = ""
    kind: str = "cross-attention"
    sites: str = ""
    page: str = ""
    figure: str = ""
    world: bool = False
    steps: Mapping[World, int] = {}

    def subjects(self, sets: Mapping[str, Sequence[Subject]], in_world: bool) -> list[Subject]:
        """Return its subjects among sets of prompts; none if it cannot be with these."""
        if (self.world and not in_world) or any(name not in sets for name in self.prompts):
            return []
        subjects = [subject for name in self.prompts for subject in sets[name]]
        return subjects if all(subject.word(self.column) for subject in subjects) else []


@dataclass(frozen=True)
class Experiments:
    """Makes stops of experiments.

    Args:
        model: The model.
        judge: Of the pictures.
        sets: Prompts by the name of their set.
        in_world: Whether the model draws the embedded world.
        seeds: Of each prompt's pictures.
        steps: Of DDIM.
        guidance_scale: w.
        rows: Of the denoiser in a call, at most.
    """

    model: Model
    judge: Judge | None
    sets: Mapping[str, Sequence[Subject]]
    in_world: bool
    seeds: Sequence[int]
    steps: int
    guidance_scale: float
    rows: int

    def stops(self, part: Experiment, order: int) -> list[Stop]:
        """Return an experiment's stop; none if the model or the judge cannot answer."""
        subjects = part.subjects(self.sets, self.in_world)
        if not subjects:
            return []
        pictures = Pictures(self.model, self.judge, [each for each in subjects for _ in self.seeds], len(self.seeds))
        stop = self._builders()[part.instrument](part, pictures)
        if stop is None:
            return []
        make, figure = PAGES[part.page or part.instrument], part.figure or part.name
        page = partial(make, pictures=pictures, mark=part.name, figure=figure)
        return [replace(stop, name=part.name, question=part.question or stop.question, order=order, page=page)]

    def _builders(self) -> Mapping[str, Callable[[Experiment, Pictures], Stop | None]]:
        return {
            "dynamics": lambda part, pictures: Dynamics.stops(self._tour(pictures))[0],
            "intervene": self._intervened,
            "clock": self._clocked,
            "maps": self._mapped,
            "contributions": self._contributed,
            "heads": self._headed,
            "trace": self._traced,
            "locogen": self._located,
            "coar": self._ablated,
            "entangle": self._accompanied,
            "segment": self._segmented,
        }

    def _tour(self, pictures: Pictures) -> TourInputs:
        prompts = [subject.prompt for subject in pictures.of]
        seeds = list(self.seeds) * (len(prompts) // len(self.seeds))
        drawing = self.steps, self.guidance_scale, self.rows
        return TourInputs(self.model, self.judge, None, prompts, None, seeds, *drawing)

    def _intervened(self, part: Experiment, pictures: Pictures) -> Stop:
        labels = [site.label for site in self.model.sites.only(kind=part.kind, level="module")]
        letters = letters_of(part.letters, labels)
        return letters_stop(part.name, part.question, 0, self._tour(pictures), letters, kind=part.kind)

    def _clocked(self, part: Experiment, pictures: Pictures) -> Stop:
        tour = self._tour(pictures)
        clock = Clock(rows=tour.rows, **tour.drawing)
        runs = [clock.intervention(self.model, time) for time in clock.times]

        def run(cache: Path | None, progress: Progress | None) -> Any:
            return clock(tour.model, tour.prompts, tour.seeds, judge=tour.judge, cache=cache, progress=progress)

        return Stop(
            part.name, part.question, 0, branch_rows(self.model, runs, len(tour.seeds), **tour.drawing), clock, run
        )

    def _mapped(self, part: Experiment, pictures: Pictures) -> Stop:
        tour = self._tour(pictures)
        return self._plain(
            Maps(per="module", batch_size=min(Maps.batch_size, tour.batch_size), **tour.drawing), pictures
        )

    def _contributed(self, part: Experiment, pictures: Pictures) -> Stop:
        tour, sites = self._tour(pictures), None
        if part.sites:
            with suppress(EmptySelection):
                sites = modules_called(self.model.sites.only(kind=KINDS, level="module"), part.sites)
        names = part.sites if sites is not None else None
        return self._plain(Contributions(names, batch_size=tour.batch_size, **tour.drawing), pictures)

    def _plain(self, instrument: Any, pictures: Pictures) -> Stop:
        """Return the stop of an instrument that draws all pictures and whose plot shows some."""
        tour = self._tour(pictures)

        def run(_: Path | None, progress: Progress | None) -> Any:
            return instrument(tour.model, tour.prompts, tour.seeds, progress=progress)

        def plot(finding: Any) -> Figure:
            figure: Figure = finding.of_pictures(pictures.examples(range(EXAMPLES))).plot()
            return figure

        return Stop(instrument.name, "", 0, tour.rows_to_draw, instrument, run, plot=plot)

    def _headed(self, part: Experiment, pictures: Pictures) -> Stop:
        groups = dict(head_groups(TOUR_GROUPS["animals"], TOUR_GROUPS["vehicles"]))
        if not self.in_world:
            del groups["styles"]
        instrument = Heads(background=background() if self.in_world else ())

        def run(_: Path | None, progress: Progress | None) -> Series:
            return in_series(groups, lambda each, _: instrument(self.model, each), progress)

        def overhead() -> float:
            return sum(instrument.seconds(self.model, each) for each in groups.values())

        return Stop(part.name, part.question, 0, 0, instrument, run, overhead=overhead)

    def _targets(self, pictures: Pictures, column: str) -> list[Sought] | None:
        """Return the judge's column and label for each picture; None if it lacks one, or has two columns."""
        if self.judge is None:
            return None
        targets = []
        for subject in pictures.of:
            word = subject.label or str(subject.word(column))
            labels = self.judge.columns[column].labels if column in self.judge.columns else None
            target = Sought(column, word) if labels and word in labels else sought(self.judge, word)
            if target is None:
                return None
            targets.append(target)
        return targets if len({target.column for target in targets}) == 1 else None

    def _traced(self, part: Experiment, pictures: Pictures) -> Stop | None:
        targets = self._targets(pictures, part.column)
        if targets is None:
            return None
        words, labels = [str(subject.word(part.column)) for subject in pictures.of], [each.label for each in targets]
        where: Literal["text", "denoiser"] = "text" if part.kind == "text" else "denoiser"
        return trace_stop(where, self._tour(pictures), words, labels, targets[0].column)

    def _located(self, part: Experiment, pictures: Pictures) -> Stop | None:
        """Return LocoGen's stop for all concepts, if the judge has labels for them."""
        targets, judge, tour = self._targets(pictures, part.column), self.judge, self._tour(pictures)
        if targets is None or judge is None or not judge.columns[targets[0].column].labels:
            return None
        instrument = LocoGen(rows=tour.rows, **tour.drawing)
        concepts = list(dict.fromkeys(subject.concept for subject in pictures.of))
        runs = instrument.runs(self.model)

        def run(cache: Path | None, progress: Progress | None) -> Any:
            findings = {}
            for index, concept in enumerate(concepts):
                own = [at for at, subject in enumerate(pictures.of) if subject.concept == concept]
                prompts, seeds = [tour.prompts[at] for at in own], [tour.seeds[at] for at in own]
                advance = part_of_progress(progress, index, len(concepts))
                about: dict[str, Any] = {"concept": concept, "judge": judge, "cache": cache, "progress": advance}
                findings[concept] = instrument(self.model, prompts, seeds, **about)
            return pooled(findings)

        first, *others = concepts
        named = f"“{first}” and {len(others)} more" if others else f"“{first}”"
        question = f"Which layers in a row control {named}?"
        return Stop(part.name, question, 0, runs * tour.rows_to_draw, instrument, run)

    def _ablated(self, part: Experiment, pictures: Pictures) -> Stop:
        seeds, steps = list(self.seeds)[:ABLATED_SEEDS], min(self.steps, ABLATED_STEPS)
        instrument = COAR(steps=steps, batch_size=min(COAR.batch_size, self.rows))
        modules = len(list(self.model.sites.only(kind=instrument.kinds, level="module")))
        concepts = {subject.concept: subject.prompt for subject in pictures.of}
        each = (2 + 1 + modules + instrument.trials + 1) * steps * len(seeds)

        def run(cache: Path | None, progress: Progress | None) -> Series:
            def find(prompt: str, advance: Progress | None) -> Any:
                return instrument(self.model, [prompt] * len(seeds), seeds, cache=cache, progress=advance)

            return in_series(concepts, find, progress)

        return Stop(part.name, part.question, 0, each * len(concepts), instrument, run)

    def _accompanied(self, part: Experiment, pictures: Pictures) -> Stop | None:
        judge, tour, objects = self.judge, self._tour(pictures), company()
        if judge is None or OBJECT not in judge.columns:
            return None
        instrument = Entangle(batch_size=tour.batch_size, **tour.drawing)

        def run(_: Path | None, progress: Progress | None) -> Any:
            return instrument(self.model, objects, tuple(self.seeds), judge=judge, progress=progress)

        rows = 3 * len(objects) * len(self.seeds) * self.steps * tour.rows_per_picture
        return Stop(part.name, part.question, 0, rows, instrument, run)

    def _segmented(self, part: Experiment, pictures: Pictures) -> Stop:
        scenes, instrument = placed_scenes(), Segment(batch_size=min(Segment.batch_size, max(1, self.rows // 2)))

        def find(scene: tuple[list[Image.Image], list[Mask], list[str]], progress: Progress | None) -> SegmentFinding:
            images, truths, words = scene
            finding = instrument(self.model, images, concept=words, truths=truths, progress=progress)
            whole = pl.Series("whole", [float(truth.mean()) for truth in truths])
            return replace(finding, table=finding.table.with_columns(whole))

        def run(_: Path | None, progress: Progress | None) -> Series:
            return in_series(scenes, find, progress)

        count = sum(len(words) for _, _, words in scenes.values())
        return Stop(
            part.name, part.question, 0, count * instrument.updates * 2 * instrument.batch_size, instrument, run
        )


def letters_of(text: str, labels: Sequence[str]) -> list[str]:
    """Return interventions as a file has them, those with "*" for each module in turn.

    Example:
        >>> letters_of("q1:* q2:* qALL", ["MID", "UP1"])
        ['q1:MID', 'q2:MID', 'q1:UP1', 'q2:UP1', 'qALL']
    """
    codes = text.split()
    starred = [code for code in codes if EACH in code]
    every = [code.replace(EACH, label) for label in labels for code in starred]
    return [each for code in codes for each in (every if code in starred[:1] else [code] * (code not in starred))]


def placed_scenes() -> dict[str, tuple[list[Image.Image], list[Mask], list[str]]]:
    """Return pictures, where their objects were put, and words, of which the second set names another object.

    Each of the ten alone, as large as the model draws it, and beside another.
    """
    alone, beside, words, others = [], [], [], []
    rng = np.random.default_rng(0)
    for obj in TEN:
        style = styles_of(obj)[0]
        other = str(next(o for o in rng.permutation(OBJECTS) if o != obj and style in styles_of(o)))
        (colour, *_) = [each for each in visible_on(obj, style) if each in visible_on(other, style)]
        alone.append(_placed(colour, Placed(obj, style, 2, 2, 28)))
        beside.append(_placed(colour, Placed(obj, style, 1, 8, 15), Placed(other, style, 17, 8, 15)))
        words.append(with_article(obj))
        others.append(with_article(other))
    (images, truths), (both, firsts) = ([list(each) for each in zip(*scene, strict=True)] for scene in (alone, beside))
    return {
        "alone": (images, truths, words),
        "alone, told another’s name": (images, truths, others),
        "beside another": (both, firsts, words),
    }


def _placed(colour: str, first: Placed, *others: Placed) -> tuple[Image.Image, Mask]:
    """Return a picture, and where its first sprite is."""
    picture, alone, empty = (render(Picture(colour, some)) for some in ((first, *others), (first,), ()))
    return Image.fromarray(picture), np.abs(alone.astype(int) - empty).max(-1) > 30
