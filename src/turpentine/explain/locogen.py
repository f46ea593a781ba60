"""LocoGen (Basu 2024): tell some layers in a row another prompt, in all steps, and see whether the concept goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure
from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.explain.cache import parts_of
from turpentine.explain.finding import Finding
from turpentine.explain.intervene import UNTOUCHED, draw_branches
from turpentine.judges.base import Judge, hits, label_of
from turpentine.models.branches import Intervention, pictures_at_once
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import read_instead
from turpentine.models.model import Model
from turpentine.models.sampler import rows_in_a_step
from turpentine.models.sites import Site, Sites
from turpentine.models.text import reworded
from turpentine.stats.intervals import Rate


@dataclass(frozen=True)
class LocoGen:
    """Which run of cross-attention layers controls a concept.

    width: layers in a row. target: what the concept's words are replaced by in the prompt that these layers are told;
    "" is the empty prompt. column: of the judge's labels. steps: of DDIM. guidance_scale: w. rows: of the denoiser in a
    call, at most.
    """

    width: int = 3
    target: str = ""
    column: str = "object"
    steps: int = 20
    guidance_scale: float = 4.0
    rows: int = 256

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int],
        *,
        concept: str,
        judge: Judge,
        wanted: str | None = None,
        keep: Path | None = None,
        progress: Progress | None = None,
    ) -> Located:
        """How often pictures of prompts and seeds, which pair up as in `Model.generate`, no longer show a concept.

        concept: words of each prompt. wanted: the judge's label for it; by default the one that the concept names. All
        windows share calls of the denoiser. keep: a folder for what is drawn, from which a run that was broken off goes
        on. progress: called with pictures done and in all.
        Raises BadArgument for a width that the model has no room for, a prompt that is too long, a column without
        labels or a label that is not there, UnknownName for a column that the judge has not, EmptyConcept for a
        concept that is empty or not in a prompt.
        """
        layers = list(model.sites.only(kind="cross-attention", level="module"))
        if not 1 <= self.width <= len(layers):
            raise BadArgument(f"There is no window of {self.width} layers: give 1 to {len(layers)}.")
        model.text.check_words(concept)  # raises for an empty one
        label = label_of(judge, self.column, wanted or concept)
        texts, numbers = fitting_pairs(model, prompts, seeds)
        others = [self._other(model, text, concept) for text in texts]
        windows = [tuple(layers[at : at + self.width]) for at in range(len(layers) - self.width + 1)]
        images: dict[str, list[Image.Image]] = {}
        kept = parts_of(keep, model, self)
        each = rows_in_a_step(model, self.guidance_scale, self.steps)
        for some in batches(len(texts), pictures_at_once(len(windows), self.rows, each)):
            drawn = draw_branches(
                model,
                _told_in(model, windows, others[some]),
                texts[some],
                numbers[some],
                steps=self.steps,
                guidance_scale=self.guidance_scale,
                rows=self.rows,
                kept=kept.within(others[some]),
            )
            for name, pictures in drawn.images.items():
                images.setdefault(name, []).extend(pictures)
            if progress:
                progress(some.stop, len(texts))
        rows = pl.concat(
            pl.DataFrame(
                {
                    "prompt": texts,
                    "seed": numbers,
                    "window": [name] * len(texts),
                    "gone": [not hit for hit in hits(judge, self.column, pictures, [label] * len(texts))],
                }
            )
            for name, pictures in images.items()
        )
        title = f"{concept}: windows of {self.width} layers"
        return Located(_table(rows, windows), model.sites, title, rows, windows, images)

    def _other(self, model: Model, text: str, concept: str) -> str:
        """What the layers are told in the place of a prompt."""
        model.text.find(text, concept)
        other = reworded(text, concept, self.target) if self.target else ""
        model.text.check_fits(other)
        return other


@dataclass(frozen=True, eq=False)
class Located(Finding):
    """How often the concept goes.

    table: a row for each window in order of execution: window (its layers' labels), score (the share of pictures
    without the concept), low, high, n, and the untouched pictures' as the first. rows: the same for each picture, with
    prompt and seed. windows: the layers of each. images: by window, "untouched" among them.
    """

    rows: pl.DataFrame
    windows: list[tuple[Site, ...]]
    images: dict[str, list[Image.Image]]

    def sites(self, top: int = 1) -> Sites:
        """The layers of the `top` windows with the largest scores."""
        if top < 1:
            raise BadArgument(f"The top {top} windows are none: give 1 or more.")
        ranked = self.table.filter(pl.col("window") != UNTOUCHED).sort("score", descending=True, maintain_order=True)
        best = set(ranked["window"].head(top))
        chosen = {site for window in self.windows if _name(window) in best for site in window}
        return Sites(self.everything.everything, tuple(site for site in self.everything if site in chosen))

    def plot(self) -> Figure:
        """A bar with its interval for each window."""
        figure = Figure(figsize=(5.2, 0.9 + 0.26 * len(self.table)), layout="constrained")
        axis = figure.subplots()
        score = self.table["score"].to_numpy()
        ends = [score - self.table["low"].to_numpy(), self.table["high"].to_numpy() - score]
        axis.barh(self.table["window"].to_list(), score, xerr=ends, color="#7fa3cc", ecolor="#1f3a5f", capsize=2)
        axis.set(xlim=(0, 1), xlabel="pictures without the concept", title=self.title)
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
        return figure


def _name(window: Sequence[Site]) -> str:
    labels = [site.label for site in window]
    return labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"


def _told_in(model: Model, windows: Sequence[tuple[Site, ...]], texts: Sequence[str]) -> dict[str, Intervention]:
    """Each window told other texts, one for each picture."""
    told = read_instead(model, model.encode(texts))
    return {_name(window): Intervention(before={Sites(model.sites.everything, window): told}) for window in windows}


def _table(rows: pl.DataFrame, windows: Sequence[Sequence[Site]]) -> pl.DataFrame:
    found = []
    for name in (UNTOUCHED, *map(_name, windows)):
        rate = Rate.of(rows.filter(pl.col("window") == name)["gone"].to_list())
        assert rate is not None  # there is a picture at least
        found.append((name, rate.value, rate.low, rate.high, rate.n))
    return pl.DataFrame(found, ["window", "score", "low", "high", "n"], orient="row")
