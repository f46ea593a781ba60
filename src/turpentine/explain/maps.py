"""Attention maps (DAAM, Tang 2022): where in the picture each word of the prompt was looked at while it was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.explain._image_stats import foreground, overlap
from turpentine.explain.finding import Finding
from turpentine.models.attention import grid
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import Call, hooked
from turpentine.models.model import Model, Size
from turpentine.models.sampler import sample
from turpentine.models.sites import Sites
from turpentine.models.text import bare, words_of
from turpentine.stats.intervals import mean_score

Heat = Float[np.ndarray, "height width"]
Mask = Bool[np.ndarray, "tall wide"]


@dataclass(frozen=True)
class Maps:
    """Maps of words, from the probabilities of all cross-attention modules and steps, or of some.

    words: of the prompts, capitals and punctuation around them apart, several tokens or words being one map; every word
    by default. A word that is there several times has one map, the sum over its places. sites: modules, with a window
    for some of the steps; all by default, the mid block and the lowest resolution among them. threshold: τ, of a map's
    largest value, from which on a pixel belongs to the word. steps: of DDIM. guidance_scale: w.
    """

    words: tuple[str, ...] = ()
    sites: Sites | None = None
    threshold: float = 0.4
    steps: int = 20
    guidance_scale: float = 4.0
    batch_size: int = 8

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int],
        *,
        size: Size | None = None,
        progress: Progress | None = None,
    ) -> Mapped:
        """The maps of prompts and seeds, which pair up as in `Model.generate`; pictures of any size.

        Probabilities are computed for the prompt's rows alone, some heads at a time, and only their sums are kept: for
        each picture a map of the latents' size for each token. progress: called with pictures done and in all.
        Raises BadArgument for a threshold out of range, or a prompt that is too long or has no word, EmptyConcept for a
        word that is not in a prompt.
        """
        if not 0 < self.threshold <= 1:
            raise BadArgument(f"A threshold of {self.threshold} is none: give a share above 0, to 1.")
        texts, numbers = fitting_pairs(model, prompts, seeds)
        asked = [self._tokens(model, text) for text in texts]
        wordless = next((text for text, words in zip(texts, asked, strict=True) if not words), None)
        if wordless is not None:
            raise BadArgument(f"The prompt {wordless!r} has no word to map: write one there.")
        sites = self.sites or model.sites.only(kind="cross-attention", level="module")
        heats: list[dict[str, Heat]] = []
        images: list[Image.Image] = []
        for rows in batches(len(texts), self.batch_size):
            latents = model.noise(numbers[rows], size=size)
            counted = sorted({token for words in asked[rows] for at in words.values() for part in at for token in part})
            summed = _Sum(model, latents, counted)
            cond, empty = model.encode(texts[rows], size=size), model.encode([""], size=size)
            with hooked(model, {sites: summed.add}):
                for step in sample(model, cond, empty, latents, steps=self.steps, guidance_scale=self.guidance_scale):
                    latents = step.x_next
            images += model.decode(latents)
            for maps, words in zip(summed.maps(), asked[rows], strict=True):
                by_token = dict(zip(counted, maps.numpy(), strict=True))
                heats.append({word: _of_places(by_token, places) for word, places in words.items()})
            if progress:
                progress(rows.stop, len(texts))
        table = _table(texts, numbers, heats, images, self.threshold)
        return Mapped(table, model.sites, "Where words were looked at", heats, images, self.threshold)

    def _tokens(self, model: Model, text: str) -> dict[str, list[range]]:
        """The tokens of each word, for each place where it is."""
        return {word: model.text.find_all(text, bare(word)) for word in self.words or words_of(text)}


def _of_places(by_token: dict[int, Heat], places: Sequence[range]) -> Heat:
    """The mean over the tokens of a place (DAAM), summed over the places."""
    found: Heat = np.sum([np.mean([by_token[token] for token in place], axis=0) for place in places], axis=0)
    return found


class _Sum:
    """Probabilities of some tokens summed over heads, modules and steps, on the grid of the latents."""

    def __init__(self, model: Model, latents: Tensor, tokens: Sequence[int]) -> None:
        self._model = model
        self.height, self.width = latents.shape[-2:]
        self._tokens = torch.tensor(tokens, device=latents.device)
        self._total = torch.zeros(len(latents), len(tokens), self.height, self.width, device=latents.device)

    def add(self, call: Call) -> None:
        for _, found in self._model.attention(call):
            height, width = grid(found.shape[2], self.height, self.width)
            asked = found[..., self._tokens].transpose(2, 3)
            small = asked.reshape(*asked.shape[:3], height, width)
            rows, columns = _bicubic(height, self.height).to(small), _bicubic(width, self.width).to(small)
            large = (rows @ small @ columns.T).clamp_(min=0)
            self._total += large.sum(1)

    def maps(self) -> Float[Tensor, "picture token height width"]:
        return self._total.cpu()


@cache
def _bicubic(count: int, wanted: int) -> Float[Tensor, "wanted count"]:
    """The matrix that bicubic interpolation of `count` numbers to `wanted` multiplies by."""
    each = F.interpolate(torch.eye(count)[None, :, :, None], (wanted, 1), mode="bicubic", align_corners=False)
    return each[0, :, :, 0].T


@dataclass(frozen=True, eq=False)
class Mapped(Finding):
    """The maps.

    table: a row for each picture and word: prompt, seed, word, mass (the word's share of all words' sums), iou (overlap
    of the word's mask with what stands out from the picture's background, 0 to 1). heats: for each picture each word's
    map, of the latents' size, as summed. images: what was drawn. threshold: τ.
    """

    heats: list[dict[str, Heat]]
    images: list[Image.Image]
    threshold: float

    def mask(self, picture: int, word: str) -> Mask:
        """The word's mask on the picture."""
        return mask_of(self.heats[picture][word], self.images[picture], self.threshold)

    def overlaps(self) -> pl.DataFrame:
        """For each picture and two words, head and dependent: iou, iod (of the dependent), ioh (of the head)."""
        rows = []
        for picture, heats in enumerate(self.heats):
            masks = {word: self.mask(picture, word) for word in heats}
            for head, dependent in permutations(masks, 2):
                both = int((masks[head] & masks[dependent]).sum())
                rows.append(
                    (
                        picture,
                        head,
                        dependent,
                        overlap(masks[head], masks[dependent]),
                        both / max(1, int(masks[dependent].sum())),
                        both / max(1, int(masks[head].sum())),
                    )
                )
        return pl.DataFrame(rows, ["picture", "head", "dependent", "iou", "iod", "ioh"], orient="row")

    def dependencies(self) -> pl.DataFrame:
        """The overlaps' means over the pictures: head, dependent, measure (mIoU, mIoD or mIoH), value, low, high, n."""
        rows = []
        for (head, dependent), part in self.overlaps().group_by("head", "dependent", maintain_order=True):
            for measure, column in (("mIoU", "iou"), ("mIoD", "iod"), ("mIoH", "ioh")):
                rows.append((head, dependent, measure, *mean_score(part[column].to_list()), len(part)))
        names = ["head", "dependent", "measure", "value", "low", "high", "n"]
        return pl.DataFrame(rows, names, orient="row")

    def plot(self) -> Figure:
        """A row for each picture: the picture, then each word's map over it."""
        columns = 1 + max(len(heats) for heats in self.heats)
        figure = Figure(figsize=(1.5 * columns, 1.65 * len(self.images)), layout="constrained")
        grid_ = figure.subplots(len(self.images), columns, squeeze=False)
        for axes, image, heats in zip(grid_, self.images, self.heats, strict=True):
            for axis in axes:
                axis.set_axis_off()
            axes[0].imshow(image, interpolation="nearest")
            for axis, (word, heat) in zip(axes[1:], heats.items(), strict=False):
                axis.imshow(image.convert("L"), cmap="gray", interpolation="nearest", vmin=0, vmax=255)
                enlarged = enlarge(heat, image)
                axis.imshow(enlarged / enlarged.max(), cmap="magma", alpha=0.75, vmin=0, vmax=1)
                axis.set_title(word, fontsize=9, parse_math=False)
        return figure


def enlarge(heat: Heat, image: Image.Image) -> Float[np.ndarray, "tall wide"]:
    """A map at the size of the picture."""
    found = Image.fromarray(heat.astype(np.float32)).resize(image.size, Image.Resampling.BICUBIC)
    return np.asarray(found, dtype=np.float64).clip(0)


def mask_of(heat: Heat, image: Image.Image, threshold: float) -> Mask:
    """Where a map, at the picture's size, has `threshold` of its largest value or more."""
    enlarged = enlarge(heat, image)
    found: Mask = enlarged >= threshold * enlarged.max()
    return found


def _table(
    texts: Sequence[str],
    seeds: Sequence[int],
    heats: Sequence[dict[str, Heat]],
    images: Sequence[Image.Image],
    threshold: float,
) -> pl.DataFrame:
    rows = []
    for text, seed, words, image in zip(texts, seeds, heats, images, strict=True):
        total = sum(float(heat.sum()) for heat in words.values())
        shown = foreground(image)
        for word, heat in words.items():
            rows.append((text, seed, word, float(heat.sum()) / total, overlap(mask_of(heat, image, threshold), shown)))
    return pl.DataFrame(rows, ["prompt", "seed", "word", "mass", "iou"], orient="row")
