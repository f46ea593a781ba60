"""Segment a picture by words (Peekaboo, Burgert 2022): the mask under which score distillation finds what they say.

An alpha mask, drawn by a small network from Fourier features of the place, is learned so that
α·picture + (1 − α)·colour, with a colour drawn anew each time, scores well as a picture of the words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.explain._image_stats import overlap
from turpentine.explain.finding import Finding
from turpentine.models.conditioning import Conditioning
from turpentine.models.images import to_pixels
from turpentine.models.model import Model

Mask = Bool[np.ndarray, "height width"]
Alpha = Float[np.ndarray, "height width"]


@dataclass(frozen=True)
class Segment:
    """Masks of words in pictures.

    updates: of the mask, by Adam. lr: its learning rate. batch_size: colours, timesteps and noises in each update.
    guidance_scale: w of the prediction. penalty: on the mean of α. window: of the timesteps, as shares of the training
    schedule, 0 without noise. features: frequencies of the Fourier features. threshold: of α, for the mask. seed: of
    all draws.
    """

    updates: int = 150
    lr: float = 0.02
    batch_size: int = 8
    guidance_scale: float = 8.0
    penalty: float = 0.2
    window: tuple[float, float] = (0.02, 0.5)
    features: int = 32
    threshold: float = 0.5
    seed: int = 0

    @torch.inference_mode(False)
    @torch.enable_grad()
    def __call__(
        self,
        model: Model,
        images: Sequence[Image.Image],
        words: Sequence[str],
        *,
        truths: Sequence[Mask] | None = None,
        progress: Progress | None = None,
    ) -> Segmented:
        """A mask for each picture and its words.

        images: of the model's size, in RGB. truths: true masks, to measure against. progress: called with updates done
        and in all. The denoiser sees 2·batch_size rows for each update, and no gradient goes through it: score
        distillation takes w(t)·(ε̂ − ε) as the gradient of the latents (Poole 2022, equation 3).
        Raises BadArgument for lists of two lengths, words that are too long, or numbers out of range.
        """
        self._check(model, images, words, truths)
        alphas = []
        for index, (image, text) in enumerate(zip(images, words, strict=True)):
            done = index * self.updates

            def advanced(updates: int, done: int = done) -> None:
                if progress:
                    progress(done + updates, len(images) * self.updates)

            alphas.append(self._learn(model, image, model.encode([text]), advanced))
        masks = [alpha >= self.threshold for alpha in alphas]
        overlaps = [overlap(*pair) for pair in zip(masks, truths, strict=True)] if truths is not None else None
        table = pl.DataFrame(
            {
                "words": list(words),
                "covered": [float(mask.mean()) for mask in masks],
                "iou": pl.Series(overlaps, dtype=pl.Float64) if overlaps else [None] * len(masks),
            }
        )
        return Segmented(table, model.sites, "Segments", list(images), alphas, masks)

    def _check(
        self, model: Model, images: Sequence[Image.Image], words: Sequence[str], truths: Sequence[Mask] | None
    ) -> None:
        if not images or {len(words), len(truths if truths is not None else words)} != {len(images)}:
            raise BadArgument(f"{len(images)} pictures and {len(words)} words do not pair up: give as many of each.")
        height, width = model.size
        odd = next((image.size for image in images if image.size != (width, height)), None)
        if odd:
            raise BadArgument(f"A picture is {odd[0]} x {odd[1]}: give those of the model's size, {width} x {height}.")
        start, stop = self.window
        if not 0 <= start < stop <= 1:
            raise BadArgument(f"The window {start} to {stop} is no part of the timesteps: give two shares of 0 to 1.")
        if min(self.updates, self.batch_size, self.features) < 1 or not self.lr > 0:
            raise BadArgument("updates, batch_size and features are 1 or more, and lr is above 0.")
        for text in dict.fromkeys(words):
            model.text.check_fits(text, "The text to find")

    def _learn(self, model: Model, image: Image.Image, cond: Conditioning, progress: Callable[[int], None]) -> Alpha:
        random = torch.Generator().manual_seed(self.seed)
        picture = to_pixels([image]).to(model.device)
        net = MaskNet(self.features, random).to(model.device)
        adam = torch.optim.Adam(net.parameters(), lr=self.lr)
        told = Conditioning.cat([model.encode([""]).repeat(self.batch_size), cond.repeat(self.batch_size)])
        for update in range(self.updates):
            alpha = net(*picture.shape[-2:])
            colour = 2 * torch.rand((self.batch_size, 3, 1, 1), generator=random).to(picture) - 1
            latents = model.encode_pixels(alpha * picture + (1 - alpha) * colour)
            gradient = self._distilled(model, latents.detach(), told, random)
            loss = (gradient * latents).sum() / self.batch_size + self.penalty * alpha.mean() * latents[0].numel()
            adam.zero_grad()
            loss.backward()
            adam.step()
            progress(update + 1)
        found: Alpha = net(*picture.shape[-2:]).detach().cpu().numpy()
        return found

    @torch.no_grad()
    def _distilled(self, model: Model, latents: Tensor, told: Conditioning, random: torch.Generator) -> Tensor:
        """σ²·(ε̂(x_t, c) − ε): the gradient of score distillation at random timesteps and noises."""
        low, high = (int(share * (model.schedule.training_steps - 1)) for share in self.window)
        t = torch.randint(low, high + 1, (len(latents),), generator=random).to(latents.device)
        eps = torch.randn(latents.shape, generator=random).to(latents)
        x = model.schedule.add_noise(latents, eps, t)
        uncond, cond = model.eps(x.repeat(2, 1, 1, 1), t.repeat(2), told).chunk(2)
        guided: Tensor = uncond + self.guidance_scale * (cond - uncond)
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
        """α on a grid."""
        frequencies: Tensor = self.frequencies  # type: ignore[assignment]
        down, across = (torch.linspace(-1, 1, side, device=frequencies.device) for side in (height, width))
        places = torch.stack(torch.meshgrid(down, across, indexing="ij"), dim=-1) @ frequencies
        alpha: Tensor = self.layers(torch.cat([places.sin(), places.cos()], dim=-1))[..., 0].sigmoid()
        return alpha


@dataclass(frozen=True, eq=False)
class Segmented(Finding):
    """The masks.

    table: a row for each picture: words, covered (the mask's share of the picture), iou (overlap with the true mask, 0
    to 1; null where none was given). images, alphas, masks: in the same order.
    """

    images: list[Image.Image]
    alphas: list[Alpha]
    masks: list[Mask]

    def plot(self) -> Figure:
        """Each picture beside its α and what the mask keeps of it."""
        figure = Figure(figsize=(4.6, 1.65 * len(self.images)), layout="constrained")
        rows = zip(
            figure.subplots(len(self.images), 3, squeeze=False), self.images, self.alphas, self.masks, strict=True
        )
        for (axes, image, alpha, mask), words in zip(rows, self.table["words"], strict=True):
            pixels = np.asarray(image.convert("RGB"))
            kept = np.where(mask[..., None], pixels, 255)
            for axis, shown in zip(axes, (pixels, alpha, kept), strict=True):
                axis.imshow(shown, cmap="gray", vmin=0, vmax=1 if shown is alpha else 255, interpolation="nearest")
                axis.set_axis_off()
            axes[0].set_title(fill(words, 24), fontsize=8, parse_math=False)
        return figure
