"""Sever or swap cross-attention, here or there, now or then, and see what becomes of the picture (thesis, 0.4.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.parts import Parts, Tensors
from turpentine.core.progress import Progress
from turpentine.explain._codes import WINDOWS, intervention, is_idle
from turpentine.explain._image_stats import channels_first, foreground, high_share, overlap
from turpentine.explain.cache import parts_of
from turpentine.explain.finding import Finding
from turpentine.judges.base import Judge
from turpentine.models.branches import Intervention, pictures_at_once, run_branches
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.model import Latents, Model
from turpentine.models.sampler import rows_in_a_step
from turpentine.models.sites import Sites
from turpentine.stats.intervals import Rate, mean_score

UNTOUCHED = "untouched"


@dataclass(frozen=True)
class Intervene:
    """Pictures under interventions beside the untouched ones of the same prompts and seeds.

    letters: the interventions, such as "q1", "oLOWRES", "p2:MID"; see `turpentine.explain._codes`.
    kind: of the modules that they name. steps: of DDIM. guidance_scale: w. rows: of the denoiser in a call, at most,
    unless the interventions on one picture need more; memory grows with it.
    """

    letters: tuple[str, ...]
    kind: str = "cross-attention"
    steps: int = 20
    guidance_scale: float = 4.0
    rows: int = 256

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int],
        *,
        judge: Judge | None = None,
        keep: Path | None = None,
        progress: Progress | None = None,
    ) -> Interventions:
        """What each intervention does to the pictures of prompts and seeds, which pair up as in `Model.generate`.

        judge: its columns of labels are compared with what it says of the untouched picture. What comes before an
        intervention is drawn once for all. keep: a folder for what is drawn, from which a run that was broken off goes
        on. progress: called with pictures done and in all.
        Raises BadArgument for no letters or a prompt that is too long, and what `letters.intervention` does.
        """
        if not self.letters:
            raise BadArgument("There is no intervention to try: give letters, such as q1 or oLOWRES.")
        wanted = {letters: intervention(model, letters, kind=self.kind) for letters in self.letters}
        drawn = draw_branches(
            model,
            wanted,
            *fitting_pairs(model, prompts, seeds),
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            rows=self.rows,
            kept=parts_of(keep, model, self),
            progress=progress,
        )
        return replace(drawn.compared(model, judge, "Interventions"), steps=self.steps)


def draw_branches(
    model: Model,
    wanted: Mapping[str, Intervention],
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int,
    guidance_scale: float,
    rows: int,
    kept: Parts[Tensors],
    progress: Progress | None = None,
) -> Drawn:
    """Pictures of pairs of prompts and seeds, untouched and under each intervention, in calls of at most so many rows.

    progress: called with pictures done and in all.
    """
    parts: dict[str, list[Latents]] = {name: [] for name in (UNTOUCHED, *wanted)}

    def draw(some: slice) -> dict[str, Tensor]:
        untouched, runs = run_branches(
            model,
            list(wanted.values()),
            model.encode(prompts[some]),
            model.encode([""]),
            model.noise(seeds[some]),
            steps=steps,
            guidance_scale=guidance_scale,
        )
        return {"runs": torch.stack([untouched, *runs])}

    each = rows_in_a_step(model, guidance_scale, steps)
    for some in batches(len(prompts), pictures_at_once(len(wanted), rows, each)):
        found = kept.part([list(prompts[some]), list(seeds[some])], partial(draw, some))["runs"]
        for latents, run in zip(parts.values(), found.to(model.device), strict=True):
            latents.append(run)
        if progress:
            progress(some.stop, len(prompts))
    images = {name: [image for part in found for image in model.decode(part)] for name, found in parts.items()}
    return Drawn(list(prompts), list(seeds), {name: torch.cat(found) for name, found in parts.items()}, images)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Finished latents and pictures by the intervention's name, UNTOUCHED first, in the order of prompts and seeds."""

    prompts: list[str]
    seeds: list[int]
    latents: dict[str, Latents]
    images: dict[str, list[Image.Image]]

    def compared(self, model: Model, judge: Judge | None, title: str) -> Interventions:
        """What became of the pictures, beside the untouched ones."""
        measured = pl.concat(list(_measured(self.prompts, self.seeds, self.latents, self.images, judge)))
        return Interventions(_summary(measured), model.sites, title, measured, self.images)


@dataclass(frozen=True, eq=False)
class Interventions(Finding):
    """What interventions did.

    table: a row for each of them and each measure: letters, measure, value, low, high, n. Measures: "COLUMN kept" is
    the share of pictures of which the judge says what it says of the untouched one; "layout" the overlap of what
    stands out from the background with that of the untouched picture, 0 to 1; "fine detail" and "fine detail of
    latents" the share of the power spectrum at the higher frequencies, 0 to 1 (T45).
    rows: the same for each picture, with prompt and seed. images: by letters, "untouched" among them. steps: of the
    solver, where letters have windows, some of which may hold none.
    """

    rows: pl.DataFrame
    images: dict[str, list[Image.Image]]
    steps: int | None = None

    def sites(self, top: int = 8) -> Sites:
        """Raises BadArgument: an intervention may be on many modules and a part of the steps."""
        raise BadArgument(
            "Interventions score letters and no sites: choose a layer, and select it by its label, as in "
            'model.sites.only(kind="cross-attention", label="MID").'
        )

    def plot(self) -> Figure:
        """A panel for each measure, a bar with its interval for each intervention."""
        measures = self.table["measure"].unique(maintain_order=True).to_list()
        letters = self.table["letters"].unique(maintain_order=True).to_list()
        figure = Figure(figsize=(2.2 + 1.7 * len(measures), 0.8 + 0.28 * len(letters)), layout="constrained")
        axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        names = [f"{name} (no step)" if self.is_idle(name) else name for name in letters]
        for axis, measure in zip(axes, measures, strict=True):
            part = self.table.filter(pl.col("measure") == measure)
            value = part["value"].to_numpy()
            ends = np.stack([value - part["low"].to_numpy(), part["high"].to_numpy() - value]).clip(0)
            axis.barh(names, value, xerr=ends, color="#7fa3cc", ecolor="#1f3a5f", capsize=2)
            axis.set_title(measure, fontsize=9)
            axis.set_xlim(0, 1 if value.max() > 0.5 else None)
            axis.tick_params("x", labelsize=8)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].invert_yaxis()
        return figure

    def is_idle(self, letters: str) -> bool:
        """Is there no step in the letters' window?"""
        return self.steps is not None and is_idle(letters, self.steps)

    def grid(self, measure: str) -> tuple[list[str], list[str], Float[np.ndarray, "layer window"]]:
        """Windows, layers, and a measure of each, where the letters are every window of every layer, such as q2:MID.

        Raises BadArgument for other letters, or those of two acts, such as q2:MID and p2:UP1.
        """
        part = self.table.filter((pl.col("measure") == measure) & (pl.col("letters") != UNTOUCHED))
        named = [letters[1:].partition(":") for letters in part["letters"]]
        windows, layers = ([*dict.fromkeys(each)] for each in ([n[0] for n in named], [n[2] for n in named]))
        acts = {letters[0] for letters in part["letters"]}
        is_whole = [(layer, window) for window, _, layer in named] == list(product(layers, windows))
        if len(acts) != 1 or not is_whole or not all(windows) or not all(layers):
            raise BadArgument(
                "The interventions are no grid: give every window of every layer, layer by layer, by one of q, o, p "
                "and r, such as q1:MID, q2:MID, q1:UP1, q2:UP1."
            )
        return windows, layers, part["value"].to_numpy().reshape(len(layers), len(windows))

    def plot_grid(self, measure: str) -> Figure:
        """What is lost of a measure, windows to the right and layers downwards."""
        windows, layers, kept = self.grid(measure)
        figure = Figure(figsize=(1.9 + 0.75 * len(windows), 1.1 + 0.24 * len(layers)), layout="constrained")
        axis = figure.subplots()
        image = axis.imshow(1 - kept, cmap="magma_r", vmin=0, vmax=max(0.05, float((1 - kept).max())), aspect="auto")
        ends = [WINDOWS[window] for window in windows]
        names = [f"{100 * start:.0f}–{100 * stop:.0f} %" for start, stop in ends]
        (act,) = {letters[0] for letters in self.table["letters"] if letters != UNTOUCHED}
        for column, window in enumerate(windows):
            if self.is_idle(f"{act}{window}"):
                names[column] += "\n(no step)"
                axis.axvspan(column - 0.5, column + 0.5, facecolor="white", edgecolor="#bbbbbb", hatch="///")
        axis.set_xticks(range(len(windows)), names)
        axis.set_yticks(range(len(layers)), layers)
        axis.set(xlabel="part of the steps")
        figure.colorbar(image, label=f"1 − {measure}")
        return figure


def _measured(
    texts: Sequence[str],
    seeds: Sequence[int],
    latents: dict[str, Latents],
    images: dict[str, list[Image.Image]],
    judge: Judge | None,
) -> Iterator[pl.DataFrame]:
    """Rows of each intervention, a row for each picture."""
    said = {name: judge(pictures, prompts=list(texts)) for name, pictures in images.items()} if judge else {}
    labels = [name for name, column in judge.columns.items() if column.labels] if judge else []
    for name, pictures in images.items():
        columns: dict[str, Any] = {"letters": [name] * len(texts), "prompt": list(texts), "seed": list(seeds)}
        for label in labels:
            columns[f"{label} kept"] = said[name][label].eq_missing(said[UNTOUCHED][label])
        both = zip(pictures, images[UNTOUCHED], strict=True)
        columns["layout"] = [overlap(foreground(now), foreground(before)) for now, before in both]
        columns["fine detail"] = [high_share(channels_first(picture)) for picture in pictures]
        columns["fine detail of latents"] = [high_share(z.double().numpy()) for z in latents[name].cpu()]
        yield pl.DataFrame(columns)


def _summary(rows: pl.DataFrame) -> pl.DataFrame:
    found = []
    for (letters,), part in rows.group_by("letters", maintain_order=True):
        for measure in part.columns[3:]:
            values = part[measure].to_list()
            of = Rate.of(values) if part[measure].dtype == pl.Boolean else mean_score(values)
            assert of is not None  # there is a picture at least
            found.append((letters, measure, of.value, of.low, of.high, len(values)))
    return pl.DataFrame(found, ["letters", "measure", "value", "low", "high", "n"], orient="row")
