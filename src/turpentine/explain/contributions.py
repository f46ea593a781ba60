"""What self- and what cross-attention add to a picture, and where: with a word and without it (thesis, figure 0.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from textwrap import fill
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.formatting import two_digits
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Settings
from turpentine.explain._codes import modules_called
from turpentine.explain._image_stats import foreground
from turpentine.explain._plots import hide_axes, new_figure
from turpentine.explain._value_parts import ValueParts
from turpentine.explain.finding import Finding
from turpentine.models.attention import grid
from turpentine.models.call import Call
from turpentine.models.drawing_defaults import drawing_of
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import hooked
from turpentine.models.interface import Size
from turpentine.models.model import Model
from turpentine.models.sampler import denoised
from turpentine.models.site_table import best_sites
from turpentine.models.sites import Site, Sites
from turpentine.stats.intervals import mean_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Heat = Float[np.ndarray, "height width"]

KINDS = ("self-attention", "cross-attention")
JOINT = "joint-attention"
PARTS = ("the picture's part", "the text's part")
"""Of joint attention, which sum to what it adds."""


@dataclass(frozen=True)
class Contributions(Settings):
    """Show what self- and what cross-attention add to a picture, and where: such as with a word, and without it.

    The maps are ‖output‖ over the channels at each place, on the prompt's row, mean over the steps (thesis, figure
    0.6). Joint attention has two: of what the picture's own values add, and of what the text's add; the two sum to the
    output before the norm is taken.

    Args:
        sites: Attention modules: labels with commas between, such as UP4,UP7, or a selection, with a window for some of
            the steps; by default those of one transformer block that shows parts of objects (UP4 of Stable Diffusion).
            Joint attention is taken in the place of cross-attention.
        steps: DDIM steps of a picture; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        batch_size: Pictures drawn at once.

    Example:
        >>> finding = Contributions(steps=2)(model, "a church", 0)
        >>> finding.table.select("label", "kind").rows()
        [('UP4', 'self-attention'), ('UP4', 'cross-attention')]
    """

    name: ClassVar[str] = "contributions"
    sites: str | Sites | None = None
    steps: Count | None = None
    guidance_scale: Finite | None = None
    batch_size: Count = 16

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int] = range(4),
        *,
        size: Size | None = None,
        progress: Progress | None = None,
    ) -> ContributionsFinding:
        """Map what attention adds to pictures; only sums over the steps are stored.

        Args:
            model: The model.
            prompts: What to draw; pair up with the seeds as in `Model.generate`.
            seeds: Of the pictures.
            size: Of the pictures in pixels, a side or height and width; the model's own by default.
            progress: Called with pictures done and in all.

        Raises:
            BadArgument: Other modules than attention, or a prompt that is too long.
            BadWindow: A window without a step.
            EmptySelection: A label that the model has not, or a model that has no attention at the default.
        """
        sites = self._modules(model)
        texts, numbers = fitting_pairs(model, prompts, seeds)
        heats: dict[str, list[Heat]] = {name: [] for name in _kinds(sites)}
        images: list[Image.Image] = []
        for rows in batches(len(texts), self.batch_size):
            latents = model.noise(numbers[rows], size=size)
            cond, empty = model.encode(texts[rows], size=size), model.encode([""], size=size)
            norms = _Norms()
            with norms.on(model, sites):
                latents = denoised(model, cond, empty, latents, **drawing_of(self, model))
            for name, maps in heats.items():
                maps += norms.maps(name, *latents.shape[-2:])
            images += model.decode(latents)
            if progress:
                progress(rows.stop, len(texts))
        each = _rows(texts, numbers, heats, images)
        return ContributionsFinding(_table(each, sites), model.sites, "What attention adds", each, heats, images)

    def _modules(self, model: Model) -> Sites:
        if isinstance(self.sites, str):
            return modules_called(model.sites.only(kind=(*KINDS, JOINT), level="module"), self.sites)
        sites = self.sites or _example_block(model)
        odd = next((site for site in sites if site.kind not in (*KINDS, JOINT) or site.level != "module"), None)
        if odd:
            raise BadArgument(
                f"{odd} is no attention module: choose among self-attention, cross-attention and joint attention."
            )
        if sites.window:
            sites.window.counted(drawing_of(self, model)["steps"])
        return sites


class _Norms:
    """Norms summed over the steps, by the module's name."""

    def __init__(self) -> None:
        self._steps: Counter[str] = Counter()
        self._totals: dict[str, Float[Tensor, "picture pixel"]] = {}

    @contextmanager
    def on(self, model: Model, sites: Sites) -> Iterator[None]:
        """Add up what the modules give in a `with` block."""
        joint, plain = (
            replace(sites, chosen=tuple(site for site in sites if (site.kind == JOINT) == is_joint))
            for is_joint in (True, False)
        )
        parts = ValueParts(model, joint, self.add_parts).on() if joint else nullcontext()
        with hooked(model, {plain: self.add}), parts:
            yield

    def add(self, call: Call) -> None:
        self._add(call.site.name, call.tensor[call.rows].detach())

    def add_parts(self, call: Call, of_text: Tensor, of_picture: Tensor) -> None:
        for part, added in zip(PARTS, (of_picture, of_text), strict=True):
            self._add(_key(call.site, part), added)

    def _add(self, name: str, added: Tensor) -> None:
        norms = added.float().norm(dim=2)
        self._totals[name] = self._totals[name] + norms if name in self._totals else norms
        self._steps[name] += 1

    def maps(self, name: str, height: int, width: int) -> list[Heat]:
        means = (self._totals[name] / self._steps[name]).cpu().numpy()
        return list(means.reshape(len(means), *grid(means.shape[1], height, width)))


@dataclass(frozen=True, eq=False)
class ContributionsFinding(Finding):
    """Maps of what attention modules add.

    Args:
        table: A row for each prompt and module: prompt, site, kind, label, inside and outside (the mean magnitude where
            something stands out from the picture's background, and where nothing does), ratio (of inside to outside,
            the mean over the pictures), low, high, n (pictures that have both an inside and an outside).
        rows: Inside and outside for each picture, with its seed and the name of its map; null where it has no such
            place.
        heats: Each module's maps by its name, in the order of the images; of joint attention each part's.
        images: The pictures.
    """

    rows: pl.DataFrame
    heats: Mapping[str, list[Heat]]
    images: list[Image.Image]

    def summary(self) -> str:
        """Say which module adds most where something stands out, against elsewhere, and which least."""
        ranked = self.table.drop_nulls("ratio").sort("ratio", descending=True, maintain_order=True).rows(named=True)
        if not ranked:
            return "In no picture does something stand out from its background: there is no inside to compare."
        most, least = ranked[0], ranked[-1]
        first = f"{most['label']} {most['kind']} adds {_times(most)} where something stands out as elsewhere"
        if len(ranked) == 1:
            return f"{first}."
        if two_digits(most["ratio"]) == two_digits(least["ratio"]):
            return f"{first}, and so do all {len(ranked)}."
        return f"{first}, the most of {len(ranked)}; {least['label']} {least['kind']} the least, {_times(least)}."

    def of_pictures(self, pictures: Sequence[int]) -> ContributionsFinding:
        """Return the finding with the rows, maps and images of some pictures alone, as for a plot."""
        heats = {name: [maps[picture] for picture in pictures] for name, maps in self.heats.items()}
        rows = self.rows[[at * len(self.images) + picture for at in range(len(heats)) for picture in pictures]]
        return replace(self, rows=rows, heats=heats, images=[self.images[picture] for picture in pictures])

    def sites(self, top: int = 8) -> Sites:
        """Return the modules that add most where something stands out, against elsewhere: by the mean ratio."""
        scored = self.table.group_by("site", maintain_order=True).agg(pl.col("ratio").mean().alias("score"))
        return best_sites(self.everything, scored, top)

    def plot(self) -> Figure:
        """Plot a row for each picture: the picture, then each module's map on a scale of its own for all pictures."""
        figure = new_figure(1.7 * (1 + len(self.heats)), 0.5 + 1.65 * len(self.images))
        axes = figure.subplots(len(self.images), 1 + len(self.heats), squeeze=False)
        hide_axes(axes.flat)
        prompts = self.rows.filter(pl.col("site") == next(iter(self.heats)))["prompt"]
        for axis, image, prompt in zip(axes[:, 0], self.images, prompts, strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set_title(fill(prompt, 24), fontsize=8, parse_math=False)
        names = {name: f"{site.label} {kind}" for name, (site, kind) in _kinds(self.everything).items()}
        for column, (name, heats) in zip(axes[:, 1:].T, self.heats.items(), strict=True):
            ends = float(np.min(heats)), float(np.max(heats))
            for axis, heat in zip(column, heats, strict=True):
                mapped = axis.imshow(heat, cmap="magma", vmin=ends[0], vmax=ends[1])
            column[0].set_title(names[name], fontsize=8)
            figure.colorbar(mapped, ax=list(column), location="bottom").ax.tick_params(labelsize=7)
        return figure


def _key(site: Site, part: str) -> str:
    """Return the name of a part of joint attention among the maps."""
    return f"{site.name}: {part}"


def _kinds(sites: Iterable[Site]) -> dict[str, tuple[Site, str]]:
    """Return the modules with their kinds, or parts, by the names of their maps."""
    kinds: dict[str, tuple[Site, str]] = {}
    for site in sites:
        if site.kind == JOINT:
            kinds |= {_key(site, part): (site, part) for part in PARTS}
        else:
            kinds[site.name] = site, site.kind
    return kinds


def _times(row: Mapping[str, Any]) -> str:
    """Return how many times as much a module adds, for which prompt, with interval and n, as text."""
    pictures = "1 picture" if row["n"] == 1 else f"{row['n']} pictures"
    span = f"{two_digits(row['low'])} to {two_digits(row['high'])}; {pictures} of “{row['prompt']}”"
    return f"{two_digits(row['ratio'])} times ({span}) as much"


def _example_block(model: Model) -> Sites:
    """Return the attentions of one transformer block that shows parts of objects: of Stable Diffusion's, UP4."""
    return model.sites.only(kind=(*KINDS, JOINT), level="module", label=model.family.example_block())


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
    """Return how much of each place of a map stands out from the picture's background."""
    mask = Image.fromarray(foreground(image).astype(np.float32))
    return np.asarray(mask.resize((width, height), Image.Resampling.BOX), dtype=np.float64)


def _mean(heat: Heat, weight: Heat) -> float | None:
    total = float(weight.sum())
    return float((heat * weight).sum()) / total if total > 0 else None


def _table(rows: pl.DataFrame, sites: Sites) -> pl.DataFrame:
    by_name = _kinds(sites)
    lines = []
    for (prompt, name), part in rows.group_by("prompt", "site", maintain_order=True):
        both = part.drop_nulls()
        ratio = mean_score((both["inside"] / both["outside"]).to_list()) if len(both) else (None, None, None)
        site, kind = by_name[str(name)]
        means = both["inside"].mean(), both["outside"].mean()
        lines.append((prompt, site.name, kind, site.label, *means, *ratio, len(both)))
    words, numbers = ("prompt", "site", "kind", "label"), ("inside", "outside", "ratio", "low", "high")
    types = {**dict.fromkeys(words, pl.String), **dict.fromkeys(numbers, pl.Float64), "n": pl.Int64}
    return pl.DataFrame(lines, types, orient="row")
