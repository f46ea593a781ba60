"""LocoGen (Basu 2024): give some layers in a row another prompt, in all steps, and see whether the concept goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.core.formatting import percent
from turpentine.core.parts import Parts, Tensors
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Settings
from turpentine.explain._branches import UNTOUCHED, draw_branches
from turpentine.explain._codes import is_joint, modules_of
from turpentine.explain._columns import judged_column
from turpentine.explain._plots import draw_bars, new_figure
from turpentine.explain._rereading import check_same_mask, keys_and_values, layers_inside
from turpentine.explain.cache import parts_of
from turpentine.explain.finding import Finding
from turpentine.judges.base import Judge, hits, label_of
from turpentine.judges.worlds import check_judge_of
from turpentine.models.branches import Intervention, pictures_at_once
from turpentine.models.drawing_defaults import drawing_of
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import read_instead
from turpentine.models.model import Model
from turpentine.models.sampler import rows_in_a_step
from turpentine.models.sites import Site, Sites
from turpentine.models.text import reworded
from turpentine.stats.intervals import Rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Layers = tuple[Site, ...]

_AS_USUAL = "as usual"
"""The run of the prompts beside one of the targets, which the others copy from."""


@dataclass(frozen=True)
class LocoGen(Settings):
    """Find the layers in a row that control a concept: give some of them another prompt, and see whether it goes.

    Every run of `width` cross-attention layers is tried, in all steps (Basu 2024). Where there is joint attention in
    the place of cross-attention, it is blocks in a row, which read keys and values of the text as they are there in a
    run of the other prompt; a pooled vector stays that of the prompt.

    Args:
        width: How many cross-attention layers, or blocks of joint attention, in a row.
        target: Words in the concept's place in the prompt that these layers are given, as many tokens where joint
            attention has a mask of padding; the empty prompt by default.
        column: The judge's label that should not be the concept's; by default the one that the concept is one of.
        steps: DDIM steps of a picture; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        rows: Rows of the denoiser in one call; fewer take less memory.

    Example:
        >>> import turpentine as tp
        >>> model, judge = tp.load(), tp.judges.EmojiJudge()
        >>> finding = LocoGen(width=8, steps=1)(model, "a church", 0, concept="church", judge=judge)
        >>> finding.table["window"].to_list()[:2]
        ['untouched', 'DOWN1 to UP1']
    """

    name: ClassVar[str] = "locogen"
    width: Count = 3
    target: str = ""
    column: str | None = None
    steps: Count | None = None
    guidance_scale: Finite | None = None
    rows: Count = 256

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int] = range(8),
        *,
        concept: str,
        judge: Judge,
        label: str | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> LocoGenFinding:
        """Measure how often pictures no longer show a concept, for each run of layers.

        All runs share calls of the denoiser.

        Args:
            model: The model.
            prompts: What to draw; pair up with the seeds as in `Model.generate`.
            seeds: Of the pictures.
            concept: Words of the prompts that the question is about.
            judge: Has the column.
            label: The judge's label for the concept; by default the one that the concept names.
            cache: The folder for finished parts, from which an interrupted run goes on.
            progress: Called with pictures done and in all.

        Raises:
            BadArgument: A width that the model has no room for, a prompt that is too long, a column without labels, or
                a label that is not there.
            UnknownName: A column that the judge has not.
            EmptyConcept: A concept that is empty or not in a prompt.
        """
        check_judge_of(model, judge)
        layers = list(modules_of(model))
        if self.width > len(layers):
            raise BadArgument(f"There is no window of {self.width} layers: give 1 to {len(layers)}.")
        model.text.check_words(concept)  # raises for an empty one
        settings = replace(self, column=self.column or judged_column(judge, label or concept))
        label = label_of(judge, str(settings.column), label or concept)
        texts, numbers = fitting_pairs(model, prompts, seeds)
        targets = [self._target_prompt(model, text, concept) for text in texts]
        windows = [tuple(layers[at : at + self.width]) for at in range(len(layers) - self.width + 1)]
        parts = parts_of(cache, model, settings)
        images = settings._draw(model, windows, texts, numbers, targets, parts, progress)
        rows = _rows(judge, str(settings.column), label, texts, numbers, images)
        title = f"{concept}: windows of {self.width} layers"
        return LocoGenFinding(_table(rows, windows), model.sites, title, rows, windows, images, concept)

    def runs(self, model: Model) -> int:
        """Return how many runs a picture takes: the untouched, each window's, and in joint attention the target's."""
        modules = modules_of(model)
        return len(list(modules)) - self.width + 2 + is_joint(modules)

    def _target_prompt(self, model: Model, text: str, concept: str) -> str:
        """Return the prompt that the layers are given in the place of another."""
        model.text.find(text, concept)
        target = reworded(text, concept, self.target) if self.target else ""
        model.text.check_fits(target)
        return target

    def _draw(
        self,
        model: Model,
        windows: Sequence[Layers],
        texts: Sequence[str],
        seeds: Sequence[int],
        targets: Sequence[str],
        parts: Parts[Tensors],
        progress: Progress | None,
    ) -> dict[str, list[Image.Image]]:
        """Return the pictures by window, the untouched ones first."""
        images: dict[str, list[Image.Image]] = {}
        drawing = drawing_of(self, model)
        each = rows_in_a_step(model, drawing["guidance_scale"], drawing["steps"])
        draw = partial(_draw_joint if is_joint(modules_of(model)) else _draw_cross, model, windows)
        for some in batches(len(texts), pictures_at_once(self.runs(model) - 1, self.rows, each)):
            batches_of = draw(texts[some], seeds[some], targets[some], parts, rows=self.rows, **drawing)
            for name, batch in batches_of.items():
                images.setdefault(name, []).extend(batch)
            if progress:
                progress(some.stop, len(texts))
        return images


@dataclass(frozen=True, eq=False)
class LocoGenFinding(Finding):
    """How often the concept goes with each run of layers.

    Args:
        table: A row for each window in order of execution: window (its layers' labels), score (the share of pictures
            without the concept), low, high, n; the untouched pictures' first.
        rows: The same for each picture, with prompt and seed.
        windows: The layers of each.
        images: By window, "untouched" among them.
        concept: The concept's words.
    """

    rows: pl.DataFrame
    windows: list[Layers]
    images: dict[str, list[Image.Image]]
    concept: str = ""

    def sites(self, top: int = 1) -> Sites:
        """Return the layers of the `top` windows with the largest scores."""
        if top < 1:
            raise BadArgument(f"The top {top} windows are none: give 1 or more.")
        best = set(self._ranked()["window"].head(top))
        chosen = {site for window in self.windows if _name(window) in best for site in window}
        return Sites(self.everything.everything, tuple(site for site in self.everything if site in chosen))

    def _ranked(self) -> pl.DataFrame:
        windows = self.table.filter(pl.col("window") != UNTOUCHED)
        return windows.sort("score", descending=True, maintain_order=True)

    def summary(self) -> str:
        """Say which layers lose the concept most often, beside the untouched pictures."""
        best = self._ranked().row(0, named=True)
        before = self.table.filter(pl.col("window") == UNTOUCHED)["score"][0]
        return (
            f"With other words in {best['window']}, {percent(best['score'])} ({percent(best['low'])} to "
            f"{percent(best['high'])}) of the pictures are without “{self.concept}”; of the untouched, "
            f"{percent(before)} are."
        )

    def plot(self) -> Figure:
        """Plot a bar for each window."""
        figure = new_figure(5.2, 0.9 + 0.26 * len(self.table))
        axis = figure.subplots()
        draw_bars(axis, self.table["window"].to_list(), self.table, "score")
        axis.set(xlim=(0, 1), xlabel="pictures without the concept", title=self.title)
        axis.invert_yaxis()
        return figure


def pooled(findings: Mapping[str, LocoGenFinding]) -> LocoGenFinding:
    """Return one finding of several concepts, whose intervals are over concepts and the prompts of each.

    Args:
        findings: By concept, all of the same windows.
    """
    first, *others = findings.values()
    rows = pl.concat(each.rows.with_columns(concept=pl.lit(name)) for name, each in findings.items())
    images = {window: [one for each in findings.values() for one in each.images[window]] for window in first.images}
    concept = f"{first.concept} and {len(others)} more" if others else first.concept
    title = f"{concept}: windows of {len(first.windows[0])} layers"
    return replace(
        first,
        table=_table(rows, first.windows, ["concept", "prompt"]),
        title=title,
        rows=rows,
        images=images,
        concept=concept,
    )


def _name(window: Sequence[Site]) -> str:
    labels = [site.label for site in window]
    return labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"


def _draw_cross(
    model: Model,
    windows: Sequence[Layers],
    texts: Sequence[str],
    seeds: Sequence[int],
    targets: Sequence[str],
    parts: Parts[Tensors],
    **how: Any,
) -> dict[str, list[Image.Image]]:
    """Return the pictures by window, whose layers read the targets, the untouched ones first."""
    change, everything = read_instead(model, model.encode(targets)), model.sites.everything
    runs = {_name(window): Intervention(before={Sites(everything, window): change}) for window in windows}
    return draw_branches(model, runs, texts, seeds, parts=parts.within(targets), **how).images


def _draw_joint(
    model: Model,
    windows: Sequence[Layers],
    texts: Sequence[str],
    seeds: Sequence[int],
    targets: Sequence[str],
    parts: Parts[Tensors],
    **how: Any,
) -> dict[str, list[Image.Image]]:
    """Return the same of blocks of joint attention: what they copy keys and values from is a run of the targets."""
    cond, read = model.encode(texts), keys_and_values(model)
    check_same_mask(cond, model.encode(targets))
    runs = {_name(window): Intervention(cond=cond, reread=layers_inside(read, window)) for window in windows}
    runs = {_AS_USUAL: Intervention(cond=cond), **runs}
    images = draw_branches(model, runs, targets, seeds, parts=parts.within(["joint", *texts]), **how).images
    return {UNTOUCHED: images[_AS_USUAL], **{name: images[name] for name in map(_name, windows)}}


def _rows(
    judge: Judge,
    column: str,
    label: str,
    texts: Sequence[str],
    seeds: Sequence[int],
    images: Mapping[str, list[Image.Image]],
) -> pl.DataFrame:
    """Return whether the concept is gone, for each window and picture."""
    labels = [label] * len(texts)
    return pl.concat(
        pl.DataFrame(
            {
                "prompt": texts,
                "seed": seeds,
                "window": [name] * len(texts),
                "gone": [not hit for hit in hits(judge, column, batch, labels)],
            }
        )
        for name, batch in images.items()
    )


def _table(
    rows: pl.DataFrame, windows: Sequence[Sequence[Site]], clusters: Sequence[str] = ("prompt",)
) -> pl.DataFrame:
    lines = []
    for name in (UNTOUCHED, *map(_name, windows)):
        part = rows.filter(pl.col("window") == name)
        rate = Rate.of(part["gone"].to_list(), part.select(clusters).rows())
        assert rate is not None  # there is a picture at least
        lines.append((name, rate.value, rate.low, rate.high, rate.n))
    return pl.DataFrame(lines, ["window", "score", "low", "high", "n"], orient="row")
