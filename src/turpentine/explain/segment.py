"""Segment a picture by words (Peekaboo, Burgert 2022): the mask under which score distillation finds what they say.

An alpha mask, drawn by a small network from Fourier features of the place, is learned so that
α·picture + (1 − α)·colour, with a colour drawn anew each time, scores well as a picture of the words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor, nn

from turpentine.core.errors import BadArgument
from turpentine.core.formatting import percent, two_digits
from turpentine.core.progress import Progress
from turpentine.core.random_state import preserved_rng
from turpentine.core.settings import Count, Finite, Fraction, Positive, Seed, Settings
from turpentine.explain._image_stats import overlap
from turpentine.explain._plots import hide_axes, new_figure
from turpentine.explain.finding import Finding
from turpentine.models.conditioning import Conditioning
from turpentine.models.finite import is_finite, not_finite
from turpentine.models.images import to_pixels
from turpentine.models.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Mask = Bool[np.ndarray, "height width"]
Alpha = Float[np.ndarray, "height width"]


@dataclass(frozen=True)
class Segment(Settings):
    """Find what words name in pictures: the mask under which the model thinks that a picture shows it (Peekaboo).

    White in the mask of each picture is what the words name. The denoiser sees 2·batch_size rows for each update, and
    no gradient goes through it: score distillation takes w(t)·(ε̂ − ε) as the gradient of the latents (Poole 2022,
    equation 3; Burgert 2022).

    Args:
        updates: Updates of each mask, by Adam.
        lr: Adam's learning rate.
        batch_size: Noisy copies of the picture in each update, each with a colour, a timestep and a noise of its own.
        guidance_scale: How strongly the words guide the prediction (w).
        penalty: How strongly the mean of α is held down.
        window: The timesteps, as two shares of the training schedule, where 0 is without noise.
        features: How many frequencies the Fourier features have.
        threshold: From which α on a pixel belongs to the words.
        seed: Seed of all draws.

    Example:
        >>> picture = model.generate("a church", seeds=[0], steps=2)[0]
        >>> finding = Segment(updates=2, batch_size=2)(model, [picture], concept="church")
        >>> finding.table.columns
        ['words', 'covered', 'iou']
    """

    name: ClassVar[str] = "segment"
    unit: ClassVar[str] = "updates"

    updates: Count = 150
    lr: Positive = 0.02
    batch_size: Count = 8
    guidance_scale: Finite = 8.0
    penalty: Finite = 0.2
    window: tuple[Fraction, Fraction] = (0.02, 0.5)
    features: Count = 32
    threshold: Finite = 0.5
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            BadArgument: A field is out of range, or the window is none.
        """
        super().__post_init__()
        start, stop = self.window
        if not start < stop:
            raise BadArgument(f"The window {start} to {stop} is no part of the timesteps: give two shares of 0 to 1.")

    @torch.inference_mode(False)
    @torch.enable_grad()
    def __call__(
        self,
        model: Model,
        images: Sequence[Image.Image],
        *,
        concept: str | Sequence[str],
        truths: Sequence[Mask] | None = None,
        names: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> SegmentFinding:
        """Learn a mask for each picture and its words.

        Args:
            model: The model.
            images: Of the model's size, in RGB.
            concept: Words that the question is about, such as "a church": they are looked for; one text for all
                pictures or one for each.
            truths: True masks, to measure against.
            names: Of the pictures, for the table.
            progress: Called with updates done and in all.

        Raises:
            BadArgument: Lists that do not pair up, words that are too long, or pictures of another size.
        """
        words = [concept] * len(images) if isinstance(concept, str) else list(concept)
        self._check(model, images, words, truths)
        alphas = []
        for index, (image, text) in enumerate(zip(images, words, strict=True)):
            done = index * self.updates

            def advance(updates: int, done: int = done) -> None:
                if progress:
                    progress(done + updates, len(images) * self.updates)

            alphas.append(self._learn(model, image, model.encode([text]), advance))
        masks = [alpha >= self.threshold for alpha in alphas]
        table = _table(words, masks, truths, names)
        return SegmentFinding(table, model.sites, "Segments", list(images), alphas, masks)

    def _check(
        self, model: Model, images: Sequence[Image.Image], words: Sequence[str], truths: Sequence[Mask] | None
    ) -> None:
        if not images or {len(words), len(truths if truths is not None else words)} != {len(images)}:
            raise BadArgument(f"{len(images)} pictures and {len(words)} words do not pair up: give as many of each.")
        height, width = model.size
        odd = next((image.size for image in images if image.size != (width, height)), None)
        if odd:
            raise BadArgument(f"A picture is {odd[0]} x {odd[1]}: give those of the model's size, {width} x {height}.")
        for text in dict.fromkeys(words):
            if not text.strip():
                raise BadArgument('There are no words: say what to find, such as "a church".')
            model.text.check_fits(text, "The text to find")

    def _learn(self, model: Model, image: Image.Image, cond: Conditioning, progress: Callable[[int], None]) -> Alpha:
        random = torch.Generator().manual_seed(self.seed)
        picture = to_pixels([image]).to(model.device)
        with preserved_rng():
            net = MaskNet(self.features, random).to(model.device)
        adam = torch.optim.Adam(net.parameters(), lr=self.lr)
        both = Conditioning.cat([model.encode([""]).repeat(self.batch_size), cond.repeat(self.batch_size)])
        for update in range(self.updates):
            alpha = net(*picture.shape[-2:])
            colour = 2 * torch.rand((self.batch_size, 3, 1, 1), generator=random).to(picture) - 1
            latents = model.encode_pixels(alpha * picture + (1 - alpha) * colour)
            gradient = self._distilled(model, latents.detach(), both, random)
            loss = (gradient * latents).sum() / self.batch_size + self.penalty * alpha.mean() * latents[0].numel()
            adam.zero_grad()
            loss.backward()
            adam.step()
            progress(update + 1)
        learned: Alpha = net(*picture.shape[-2:]).detach().cpu().numpy()
        return learned

    @torch.no_grad()
    def _distilled(self, model: Model, latents: Tensor, both: Conditioning, random: torch.Generator) -> Tensor:
        """Return σ²·(ε̂(x_t, c) − ε): the gradient of score distillation at random timesteps and noises."""
        low, high = (int(share * (model.schedule.training_steps - 1)) for share in self.window)
        t = torch.randint(low, high + 1, (len(latents),), generator=random).to(latents.device)
        eps = torch.randn(latents.shape, generator=random).to(latents)
        x = model.schedule.add_noise(latents, eps, t)
        uncond, cond = model.eps(x.repeat(2, 1, 1, 1), t.repeat(2), both).chunk(2)
        guided: Tensor = uncond + self.guidance_scale * (cond - uncond)
        if not is_finite(guided):
            what = f"The denoiser gives NaN or infinity at timesteps {t.tolist()}"
            raise not_finite(what, model.components, lambda: model.eps(x.repeat(2, 1, 1, 1), t.repeat(2), both))
        return model.schedule.variance(t).reshape(-1, 1, 1, 1) * (guided - eps)


class MaskNet(nn.Module):
    """α at each place, 0 to 1, from Fourier features of it (Tancik 2020)."""

    def __init__(self, features: int, random: torch.Generator, scale: float = 3.0, width: int = 64) -> None:
        super().__init__()
        self.register_buffer("frequencies", scale * torch.randn((2, features), generator=random))
        self.layers = nn.Sequential(nn.Linear(2 * features, width), nn.ReLU(), nn.Linear(width, 1))
        with torch.no_grad():
            for parameter in self.layers.parameters():
                bound = 1 / parameter.shape[-1] ** 0.5
                parameter.copy_(bound * (2 * torch.rand(parameter.shape, generator=random) - 1))

    def forward(self, height: int, width: int) -> Float[Tensor, "height width"]:
        """Return α on a grid."""
        frequencies: Tensor = self.frequencies  # type: ignore[assignment]
        down, across = (torch.linspace(-1, 1, side, device=frequencies.device) for side in (height, width))
        places = torch.stack(torch.meshgrid(down, across, indexing="ij"), dim=-1) @ frequencies
        alpha: Tensor = self.layers(torch.cat([places.sin(), places.cos()], dim=-1))[..., 0].sigmoid()
        return alpha


@dataclass(frozen=True, eq=False)
class SegmentFinding(Finding):
    """The masks of words.

    Args:
        table: A row for each picture: words, covered (the mask's share of the picture), iou (overlap with the true
            mask, 0 to 1; null where none was given); before these, where the pictures have names: picture, mask (the
            file of `images_to_save`).
        images: The pictures.
        alphas: The soft mask of each, 0 to 1.
        masks: The mask of each.
    """

    images: list[Image.Image]
    alphas: list[Alpha]
    masks: list[Mask]

    def summary(self) -> str:
        """Say how much of the pictures the words cover, between which bounds, and how well where truths are given."""
        covered = self.table["covered"].to_list()
        count = len(covered)
        each = f"{percent(min(covered))} to {percent(max(covered))}, {percent(sum(covered) / count)} on average"
        where = f"of {count} pictures: {each}" if count > 1 else f"of the picture: {percent(covered[0])}"
        first = f"What the words name covers a part {where}."
        empty = sum(share in (0, 1) for share in covered)
        if empty:
            first += f" In {empty} of {count} the mask is nothing or everything, and says nothing."
        overlaps = self.table["iou"].drop_nulls().to_list()
        if not overlaps:
            return first
        return (
            f"{first} The masks overlap the true ones by {two_digits(sum(overlaps) / len(overlaps))} (IoU, the mean)."
        )

    def images_to_save(self) -> Mapping[str, Image.Image]:
        """Return the masks, white where the words are."""
        return {_mask_file(number): Image.fromarray(mask) for number, mask in enumerate(self.masks, start=1)}

    def plot(self) -> Figure:
        """Plot each picture beside its α and what the mask leaves of it."""
        figure = new_figure(4.6, 1.65 * len(self.images))
        panels = figure.subplots(len(self.images), 3, squeeze=False)
        rows = zip(panels, self.images, self.alphas, self.masks, self.table["words"], strict=True)
        for axes, image, alpha, mask, words in rows:
            pixels = np.asarray(image.convert("RGB"))
            masked = np.where(mask[..., None], pixels, 255)
            for axis, panel in zip(axes, (pixels, alpha, masked), strict=True):
                axis.imshow(panel, cmap="gray", vmin=0, vmax=1 if panel is alpha else 255, interpolation="nearest")
            hide_axes(axes)
            axes[0].set_title(fill(words, 24), fontsize=8, parse_math=False)
        return figure


def _table(
    words: Sequence[str], masks: Sequence[Mask], truths: Sequence[Mask] | None, names: Sequence[str] | None
) -> pl.DataFrame:
    overlaps = [overlap(*pair) for pair in zip(masks, truths, strict=True)] if truths is not None else None
    table = pl.DataFrame(
        {
            "words": list(words),
            "covered": [float(mask.mean()) for mask in masks],
            "iou": pl.Series(overlaps, dtype=pl.Float64) if overlaps else [None] * len(masks),
        }
    )
    if names is None:
        return table
    files = [_mask_file(number) for number in range(1, 1 + len(masks))]
    return table.select(pl.Series("picture", list(names)), pl.Series("mask", files), "words", "covered", "iou")


def _mask_file(number: int) -> str:
    return f"mask-{number}.png"
