"""How a picture comes into being: what changes at each step, which modules change it, and when the words are read."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from turpentine.core.progress import Progress
from turpentine.explain.finding import Finding
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import Call, hooked
from turpentine.models.model import Model
from turpentine.models.sampler import Step, sample
from turpentine.models.site_table import best_sites
from turpentine.models.sites import Site, Sites
from turpentine.stats.intervals import mean_score

Maps = Float[np.ndarray, "step height width"]
Key = TypeVar("Key", bound=Hashable)

viridis = colormaps["viridis"]

CHANGE, UPDATE, WORDS = "latent change", "update", "word probability"
"""What is measured at each step; see `Dynamics`."""

START = 0
"""The token that every prompt starts with, which is no word."""

NAMED = 20
"""Curves of modules that have a name in the picture, at most: the colours say the order of the others."""


@dataclass(frozen=True)
class Dynamics:
    """The thesis's curves over the steps (section 0.4.2).

    Latent change: |z_t − z_{t−1}|, mean over channels and the picture. Update: |output| of a module on the prompt's
    row, likewise. Word probability: the cross-attention probabilities on the prompt's own tokens, without start, end
    and padding, summed over them, mean over pixels, heads and modules; of pictures whose prompt has a word.

    kind: of the modules whose updates are taken. steps: of DDIM. guidance_scale: w. strip: pictures in the strip of the
    first picture's coming into being.
    """

    kind: str = "cross-attention"
    steps: int = 20
    guidance_scale: float = 4.0
    strip: int = 8
    batch_size: int = 16

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int],
        *,
        progress: Progress | None = None,
    ) -> Unfolding:
        """The curves over pictures of prompts and seeds, which pair up as in `Model.generate`.

        progress: called with pictures done and in all. Raises BadArgument for a prompt that is too long.
        """
        texts, numbers = fitting_pairs(model, prompts, seeds)
        values: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        changes: list[Maps] = []
        updates: dict[str, list[Maps]] = defaultdict(list)
        strip: list[Image.Image] = []
        modules = model.sites.only(kind=self.kind, level="module")
        attention = model.sites.only(kind="cross-attention", level="module")
        for rows in batches(len(texts), self.batch_size):
            cond, empty, latents = model.encode(texts[rows]), model.encode([""]), model.noise(numbers[rows])
            reading = _Reading(model, texts[rows])
            with hooked(model, {modules: reading.update}), hooked(model, {attention: reading.words}):
                for step in sample(model, cond, empty, latents, steps=self.steps, guidance_scale=self.guidance_scale):
                    reading.change(step)
                    if rows.start == 0:
                        strip += self._shown(model, step.index, step.x_next[:1])
            for index, moved in _fetched(reading.changes).items():
                values[CHANGE, "", index] += moved.mean((1, 2)).tolist()
                if rows.start == 0:
                    changes.append(moved[0].numpy())
            for (name, index), found in _fetched(reading.updates).items():
                values[UPDATE, name, index] += found.flatten(1).mean(1).tolist()
                if rows.start == 0:
                    updates[name].append(found[0].numpy())
            for index, by_module in reading.shares().items() if reading.spoken else ():
                values[WORDS, "", index] += torch.stack(by_module).mean(0)[reading.spoken].tolist()
            if progress:
                progress(rows.stop, len(texts))
        table = _table(values, model.sites)
        return Unfolding(
            table,
            model.sites,
            "How a picture comes into being",
            np.stack(changes),
            {name: np.stack(maps) for name, maps in updates.items()},
            strip,
        )

    def _shown(self, model: Model, index: int, latents: Tensor) -> list[Image.Image]:
        wanted = {round(at) for at in np.linspace(0, self.steps - 1, min(self.strip, self.steps))}
        return model.decode(latents) if index in wanted else []


class _Reading:
    """What is seen of one batch; it stays on the device until the run is over, for a fetch waits for the device."""

    def __init__(self, model: Model, texts: Sequence[str]) -> None:
        self._model = model
        self._words_at = [model.text.find(text).subject for text in texts]
        self.spoken = [row for row, at in enumerate(self._words_at) if START not in at]
        self.changes: dict[int, Tensor] = {}
        self.updates: dict[tuple[str, int], Tensor] = {}
        self._by_token: dict[tuple[str, int], Tensor] = {}

    def change(self, step: Step) -> None:
        self.changes[step.index] = (step.x_next - step.x).abs().mean(1).float()

    def update(self, call: Call) -> None:
        output = call.tensor[call.rows].detach().abs().float()
        assert call.moment is not None  # the sampler runs
        self.updates[call.site.name, call.moment.index] = output.mean(1) if output.ndim == 4 else output.mean(2)

    def words(self, call: Call) -> None:
        by_token = torch.stack([found.mean(2).sum(1) for _, found in self._model.attention(call)])
        assert call.moment is not None
        self._by_token[call.site.name, call.moment.index] = by_token

    def shares(self) -> dict[int, list[Tensor]]:
        """By step, for each module the probability of each row's own words, mean over pixels and heads."""
        shares: dict[int, list[Tensor]] = defaultdict(list)
        for (name, index), parts in _fetched(self._by_token).items():
            attention: Any = self._model.module(name)
            total = torch.zeros(len(self._words_at))
            for by_token in parts:
                total += torch.stack([row[list(at)].sum() for row, at in zip(by_token, self._words_at, strict=True)])
            shares[index].append(total / attention.heads)
        return shares


def _fetched(tensors: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    """The same on the CPU, all in one copy."""
    whole = torch.cat([tensor.flatten() for tensor in tensors.values()]).cpu()
    parts = torch.split(whole, [tensor.numel() for tensor in tensors.values()])
    return {key: part.view_as(tensor) for (key, tensor), part in zip(tensors.items(), parts, strict=True)}


@dataclass(frozen=True, eq=False)
class Unfolding(Finding):
    """The curves, and what the first picture looked like on the way.

    table: a row for each measure, site and step: measure ("latent change", "update" or "word probability"), site, kind,
    label (empty but for updates), step, value, low, high over the pictures, n. changes: the first picture's maps of
    latent change. updates: its maps of each module's updates, a row of pixels for each step. strip: its latents decoded
    on the way.
    """

    changes: Maps
    updates: dict[str, Float[np.ndarray, "step ..."]]
    strip: list[Image.Image]

    def sites(self, top: int = 8) -> Sites:
        """The modules with the largest updates, summed over the steps."""
        scored = self.table.filter(pl.col("measure") == UPDATE).select("site", pl.col("value").alias("score"))
        return best_sites(self.everything, scored, top)

    def plot(self) -> Figure:
        """The strip and the maps of change above, the three sets of curves below."""
        figure = Figure(figsize=(11, 5.6), layout="constrained")
        rows = figure.add_gridspec(2, 1, height_ratios=(1.1, 1.6))
        above, below = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
        shown = np.linspace(0, len(self.changes) - 1, len(self.strip)).round().astype(int)
        for column, (index, image) in enumerate(zip(shown, self.strip, strict=True)):
            first = above.add_subplot(2, len(self.strip), column + 1)
            first.imshow(image, interpolation="nearest")
            first.set_title(f"step {index + 1}", fontsize=8)
            second = above.add_subplot(2, len(self.strip), len(self.strip) + column + 1)
            second.imshow(self.changes[index], cmap="magma", vmin=0, vmax=self.changes.max())
            second.set_title("change", fontsize=8)
            for axis in (first, second):
                axis.set_axis_off()
        axes = below.subplots(1, 3)
        for axis, measure in zip(axes, (CHANGE, UPDATE, WORDS), strict=True):
            part = self.table.filter(pl.col("measure") == measure)
            curves = [curve for _, curve in part.group_by("site", maintain_order=True)]
            for shade, curve in zip(np.linspace(0, 0.95, len(curves)), curves, strict=True):
                colour = viridis(shade) if measure == UPDATE else "#1f4e8c"
                at = curve["step"] + 1
                axis.plot(at, curve["value"], linewidth=1.1, marker=".", color=colour, label=curve["label"][0])
                if measure != UPDATE:
                    axis.fill_between(at, curve["low"], curve["high"], color=colour, alpha=0.25)
            axis.set_title(measure if curves else f"no {measure}: the prompt is empty", fontsize=10)
            axis.set_xlabel("step")
            axis.update_datalim([(1, 0)])
            axis.autoscale_view()
            axis.set_ylim(bottom=0)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axis.spines[["top", "right"]].set_visible(False)
        lines = axes[1].get_lines()
        named = lines[:: math.ceil(len(lines) / NAMED)]
        axes[1].legend(handles=named, fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        return figure


def _table(values: dict[tuple[str, str, int], list[float]], everything: Sites) -> pl.DataFrame:
    by_name: dict[str, Site] = {site.name: site for site in everything}
    rows = []
    for (measure, name, index), found in sorted(values.items(), key=lambda item: (item[0][0], item[0][1], item[0][2])):
        site = by_name.get(name)
        about = (name, site.kind, site.label) if site else ("", "", "")
        rows.append((measure, *about, index, *mean_score(found), len(found)))
    names = ["measure", "site", "kind", "label", "step", "value", "low", "high", "n"]
    order = {name: number for number, name in enumerate(by_name)}
    table = pl.DataFrame(rows, names, orient="row")
    return table.sort(
        pl.col("measure"), pl.col("site").replace_strict(order, default=-1), pl.col("step"), maintain_order=True
    )
