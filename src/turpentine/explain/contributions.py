"""What self- and what cross-attention add to a picture, and where: with a word and without it (thesis, figure 0.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import polars as pl
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.explain._image_stats import foreground
from turpentine.explain.finding import Finding
from turpentine.models.attention import grid
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import Call, hooked
from turpentine.models.model import Model, Size
from turpentine.models.sampler import sample
from turpentine.models.site_table import best_sites
from turpentine.models.sites import Sites
from turpentine.stats.intervals import mean_score

Heat = Float[np.ndarray, "height width"]

KINDS = ("self-attention", "cross-attention")


@dataclass(frozen=True)
class Contributions:
    """Maps of what attention adds at each place: ‖output‖ over its channels, on the prompt's row, mean over the steps.

    sites: attention modules, with a window for some of the steps; by default the self- and the cross-attention of the
    first transformer block in the last up block but one. steps: of DDIM. guidance_scale: w.
    """

    sites: Sites | None = None
    steps: int = 20
    guidance_scale: float = 4.0
    batch_size: int = 16

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int],
        *,
        size: Size | None = None,
        progress: Progress | None = None,
    ) -> Contributed:
        """The maps of prompts and seeds, which pair up as in `Model.generate`: such as one with a word, one without.

        Only sums over the steps are kept. progress: called with pictures done and in all.
        Raises BadArgument for other modules than attention or a prompt that is too long, BadWindow for a window without
        a step, EmptySelection for a model that has no attention at the default.
        """
        sites = self.sites or _first(model)
        odd = next((site for site in sites if site.kind not in KINDS or site.level != "module"), None)
        if odd:
            raise BadArgument(f"{odd} is no attention module: choose among self-attention and cross-attention.")
        if sites.window:
            sites.window.counted(self.steps)
        texts, numbers = fitting_pairs(model, prompts, seeds)
        heats: dict[str, list[Heat]] = {site.name: [] for site in sites}
        images: list[Image.Image] = []
        for rows in batches(len(texts), self.batch_size):
            latents = model.noise(numbers[rows], size=size)
            cond, empty = model.encode(texts[rows], size=size), model.encode([""], size=size)
            added = _Added()
            with hooked(model, {sites: added.add}):
                for step in sample(model, cond, empty, latents, steps=self.steps, guidance_scale=self.guidance_scale):
                    latents = step.x_next
            for name, mine in heats.items():
                mine += added.maps(name, *latents.shape[-2:])
            images += model.decode(latents)
            if progress:
                progress(rows.stop, len(texts))
        each = _rows(texts, numbers, heats, images)
        return Contributed(_table(each, sites), model.sites, "What attention adds", each, heats, images)


class _Added:
    """Norms summed over the steps, by the module's name."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self._totals: dict[str, Float[Tensor, "picture pixel"]] = {}

    def add(self, call: Call) -> None:
        norms = call.tensor[call.rows].detach().float().norm(dim=2)
        name = call.site.name
        self._totals[name] = self._totals[name] + norms if name in self._totals else norms
        self.steps[name] += 1

    def maps(self, name: str, height: int, width: int) -> list[Heat]:
        means = (self._totals[name] / self.steps[name]).cpu().numpy()
        return list(means.reshape(len(means), *grid(means.shape[1], height, width)))


@dataclass(frozen=True, eq=False)
class Contributed(Finding):
    """The maps.

    table: a row for each prompt and module: prompt, site, kind, label, inside and outside (the mean magnitude where
    something stands out from the picture's background, and where nothing does), ratio (of inside to outside, the mean
    over the pictures), low, high, n (pictures that have both an inside and an outside). rows: inside and outside for
    each picture, with its seed; null where it has no such place. heats: each module's maps by its name, in the order of
    the images.
    """

    rows: pl.DataFrame
    heats: Mapping[str, list[Heat]]
    images: list[Image.Image]

    def sites(self, top: int = 8) -> Sites:
        """The modules that add most where something stands out, against elsewhere: by ratio, the prompts' mean."""
        scored = self.table.group_by("site", maintain_order=True).agg(pl.col("ratio").mean().alias("score"))
        return best_sites(self.everything, scored, top)

    def plot(self) -> Figure:
        """A row for each picture: the picture, then each module's map on a scale of its own for all pictures."""
        figure = Figure(figsize=(1.7 * (1 + len(self.heats)), 0.5 + 1.65 * len(self.images)), layout="constrained")
        axes = figure.subplots(len(self.images), 1 + len(self.heats), squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        prompts = self.rows.filter(pl.col("site") == next(iter(self.heats)))["prompt"]
        for axis, image, prompt in zip(axes[:, 0], self.images, prompts, strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set_title(fill(prompt, 24), fontsize=8, parse_math=False)
        named = {site.name: f"{site.label} {site.kind}" for site in self.everything}
        for column, (name, heats) in zip(axes[:, 1:].T, self.heats.items(), strict=True):
            ends = float(np.min(heats)), float(np.max(heats))
            for axis, heat in zip(column, heats, strict=True):
                shown = axis.imshow(heat, cmap="magma", vmin=ends[0], vmax=ends[1])
            column[0].set_title(named[name], fontsize=8)
            figure.colorbar(shown, ax=list(column), location="bottom").ax.tick_params(labelsize=7)
        return figure


def _first(model: Model) -> Sites:
    """Both attentions of one transformer block that shows parts of objects: of Stable Diffusion's, UP4."""
    return model.sites.only(kind=KINDS, level="module", label=model.family.example_block())


def _rows(
    texts: Sequence[str], seeds: Sequence[int], heats: Mapping[str, list[Heat]], images: Sequence[Image.Image]
) -> pl.DataFrame:
    rows = []
    for name, maps in heats.items():
        for text, seed, heat, image in zip(texts, seeds, maps, images, strict=True):
            share = _standing_out(image, *heat.shape)
            rows.append((text, seed, name, _mean(heat, share), _mean(heat, 1 - share)))
    types = {"prompt": pl.String, "seed": pl.Int64, "site": pl.String, "inside": pl.Float64, "outside": pl.Float64}
    return pl.DataFrame(rows, types, orient="row")


def _standing_out(image: Image.Image, height: int, width: int) -> Heat:
    """Which share of each place of a map stands out from the picture's background."""
    mask = Image.fromarray(foreground(image).astype(np.float32))
    return np.asarray(mask.resize((width, height), Image.Resampling.BOX), dtype=np.float64)


def _mean(heat: Heat, weight: Heat) -> float | None:
    total = float(weight.sum())
    return float((heat * weight).sum()) / total if total > 0 else None


def _table(rows: pl.DataFrame, sites: Sites) -> pl.DataFrame:
    known = {site.name: site for site in sites}
    found = []
    for (prompt, name), part in rows.group_by("prompt", "site", maintain_order=True):
        both = part.drop_nulls()
        ratio = mean_score((both["inside"] / both["outside"]).to_list()) if len(both) else (None, None, None)
        site = known[str(name)]
        means = both["inside"].mean(), both["outside"].mean()
        found.append((prompt, site.name, site.kind, site.label, *means, *ratio, len(both)))
    words, numbers = ("prompt", "site", "kind", "label"), ("inside", "outside", "ratio", "low", "high")
    types = {**dict.fromkeys(words, pl.String), **dict.fromkeys(numbers, pl.Float64), "n": pl.Int64}
    return pl.DataFrame(found, types, orient="row")
