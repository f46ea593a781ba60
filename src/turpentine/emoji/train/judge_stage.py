"""The judge's stage: renders of every sprite, augmented in many ways, and pictures without an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.emoji.captions import WORLD, Mixture, draw, single_picture
from turpentine.emoji.judge_network import ANSWERS, LARGER_ANSWERS, NONE, JudgeNet
from turpentine.emoji.train.loop import device_of, generator
from turpentine.emoji.train.update import Batch, Loss
from turpentine.emoji.vision import to_tensor
from turpentine.emoji.world import COLOURS, OBJECTS, STYLES, TINTABLE, TINTS, Picture, render

NOTHING = 0.15
"""The share of pictures that show no object."""


@dataclass
class Truth:
    """Targets of a batch: each object's share of the area; style, background colour, tint: −1 where none is asked."""

    object: Float[Tensor, "batch objects"]
    style: Int[Tensor, " batch"]
    colour: Int[Tensor, " batch"]
    tint: Int[Tensor, " batch"]


def labelled(
    rng: np.random.Generator, count: int, size: int, mixture: Mixture = WORLD
) -> tuple[Float[Tensor, "count 3 size size"], Truth]:
    """Draw renders and their labels, from every object–style pair, held-out ones as well."""
    pictures = [_picture(rng, mixture) for _ in range(count)]
    objects = torch.zeros(count, len(ANSWERS["object"]))
    for row, picture in zip(objects, pictures, strict=True):
        area = sum(placed.size**2 for placed in picture.placed)
        for placed in picture.placed:
            row[OBJECTS.index(placed.object)] += placed.size**2 / area
    style = torch.tensor([STYLES.index(p.placed[0].style) for p in pictures])
    colour = torch.tensor([list(COLOURS).index(p.background) for p in pictures])
    tint = torch.tensor([_tint(p) for p in pictures])
    return to_tensor([render(p, size) for p in pictures]), Truth(objects, style, colour, tint)


def _tint(picture: Picture) -> int:
    """Return the number of the colour that all of a picture's objects are painted in, −1 where they differ."""
    [tint, *others] = {placed.tint or NONE for placed in picture.placed}
    return -1 if others else LARGER_ANSWERS["tint"].index(tint)


def _picture(rng: np.random.Generator, mixture: Mixture) -> Picture:
    if "tinted" in mixture.kinds and rng.random() < 0.45:
        if rng.random() < 0.4:
            return draw(rng, replace(mixture, kinds={"relation": 1.0})).picture
        obj = TINTABLE[int(rng.integers(len(TINTABLE)))]
        tint = TINTS[int(rng.integers(len(TINTS)))]
        return single_picture(rng, obj, small=bool(rng.random() < 0.2), held_out=True, tint=tint)
    u = rng.random()
    if u < 0.4:
        while (captioned := draw(rng)).kind != ("two" if u < 0.32 else "scene"):
            pass
        return captioned.picture
    return single_picture(rng, OBJECTS[int(rng.integers(len(OBJECTS)))], small=u < 0.52, held_out=True)


def augmented(
    rng: np.random.Generator, x: Float[Tensor, "batch 3 size size"], truth: Truth, vae: AutoencoderKL
) -> tuple[Float[Tensor, "batch 3 size size"], Truth]:
    """Apply round trips, flips, blur, noise and tints; a share of rows becomes pictures without an object."""
    count = len(x)
    random = generator(rng)
    x = _some(rng, 0.35, x, lambda part: _round_trip(part, vae, random))
    x = _some(rng, 0.3, x, lambda part: part.flip(-1))
    x = _some(rng, 0.3, x, lambda part: _blur(part, float(rng.uniform(0.3, 0.9))))
    x = _some(rng, 0.5, x, lambda part: part + rng.uniform(0, 0.12) * torch.randn(part.shape, generator=random))
    x = _some(rng, 0.5, x, lambda part: part + 0.05 * torch.randn((len(part), 3, 1, 1), generator=random))
    nothing = torch.from_numpy(rng.random(count) < NOTHING)
    x[nothing], has_colour = _nothing(rng, x[nothing], vae, random)
    objects = truth.object.clone()
    objects[nothing] = F.one_hot(torch.tensor(ANSWERS["object"].index(NONE)), objects.shape[1]).float()
    colour = truth.colour.clone()
    colour[nothing] = torch.where(has_colour, colour[nothing], -1)
    style, tint = (each.masked_fill(nothing, -1) for each in (truth.style, truth.tint))
    return x.clamp(-1, 1), Truth(objects, style, colour, tint)


def _some(rng: np.random.Generator, share: float, x: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the rows with a random share of them transformed."""
    chosen = torch.from_numpy(rng.random(len(x)) < share)
    if chosen.any():
        x = x.clone()
        x[chosen] = transform(x[chosen])
    return x


@torch.no_grad()
def _round_trip(x: Tensor, vae: AutoencoderKL, random: torch.Generator) -> Tensor:
    device = device_of(vae)
    z = vae.encode(x.to(device)).latent_dist.mode()
    noise = 0.15 * z.std() * torch.rand((len(z), 1, 1, 1), generator=random).to(device)
    decoded: Tensor = vae.decode(z + noise * torch.randn(z.shape, generator=random).to(device)).sample
    return decoded.to(x)


def _blur(x: Tensor, sigma: float) -> Tensor:
    radius = max(1, round(2.5 * sigma))
    taps = torch.exp(-torch.arange(-radius, radius + 1).float().square() / (2 * sigma**2))
    taps = (taps / taps.sum()).repeat(3, 1)
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps[:, None, None], groups=3), taps[:, None, :, None], groups=3)


@torch.no_grad()
def _nothing(rng: np.random.Generator, x: Tensor, vae: AutoencoderKL, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn pictures into five sorts without an object; return whether each still has its background's colour."""
    x, has_colour = x.clone(), torch.zeros(len(x), dtype=torch.bool)
    for row in range(len(x)):
        sort = int(rng.integers(5))
        if sort == 0:  # the background alone
            x[row] = x[row, :, :1, :1].clone()
            has_colour[row] = True
        elif sort == 1:  # noise around a colour
            x[row] = x[row, :, :1, :1] + rng.uniform(0.2, 1) * torch.randn(x[row].shape, generator=random)
        elif sort == 2:  # the picture's own tiles, shuffled
            x[row] = _shuffled(x[row], random)
        elif sort == 3:  # blurred past recognition
            x[row] = _blur(x[row : row + 1], float(rng.uniform(4, 6)))[0]
        else:  # a decoded latent that is no picture's
            z = vae.encode(x[row : row + 1].to(device_of(vae))).latent_dist.mode()
            x[row] = vae.decode(z.std() * torch.randn(z.shape, generator=random).to(z.device)).sample[0]
    return x, has_colour


def _shuffled(x: Float[Tensor, "3 size size"], random: torch.Generator) -> Float[Tensor, "3 size size"]:
    side = x.shape[-1] // 8
    tiles = x.unfold(1, side, side).unfold(2, side, side).reshape(3, 64, side, side)
    tiles = tiles[:, torch.randperm(64, generator=random)].view(3, 8, 8, side, side)
    return tiles.permute(0, 1, 3, 2, 4).reshape(x.shape)


def cross_entropy(
    logits: Mapping[str, Float[Tensor, "batch answers"]], truth: Mapping[str, Tensor]
) -> dict[str, Float[Tensor, ""]]:
    """Return each attribute's mean cross-entropy; rows without a style, a colour or a tint do not count for it."""
    return {
        attribute: F.cross_entropy(values, truth[attribute])
        if attribute == "object"
        else F.cross_entropy(values, truth[attribute], ignore_index=-1)
        for attribute, values in logits.items()
    }


def _draw(rng: np.random.Generator, vae: AutoencoderKL, batch_size: int, size: int, mixture: Mixture) -> Batch:
    with torch.no_grad():
        x, truth = augmented(rng, *labelled(rng, batch_size, size, mixture), vae)
    return {"pictures": x, **vars(truth)}


def loss(judge: JudgeNet, vae: AutoencoderKL, batch_size: int, size: int, mixture: Mixture = WORLD) -> Loss:
    """Return the loss: the sum of the attributes' cross-entropies on augmented renders.

    Pictures are disturbed where they are drawn, so a `vae` on the CPU serves processes that draw ahead.
    """

    def value(batch: Batch) -> Tensor:
        return torch.stack(list(cross_entropy(judge.logits(batch["pictures"]), batch).values())).sum()

    return Loss(partial(_draw, vae=vae, batch_size=batch_size, size=size, mixture=mixture), value)


def calibrate(
    judge: JudgeNet,
    vae: AutoencoderKL,
    size: int,
    pictures: int = 2048,
    seed: int = 1,
    mixture: Mixture = WORLD,
) -> None:
    """Fit one temperature per attribute on augmented renders of another seed (Guo 2017)."""
    rng = np.random.default_rng((seed, 0xCA11B))
    with torch.inference_mode():
        x, truth = augmented(rng, *labelled(rng, pictures, size, mixture), vae)
        parts = [judge.logits(part.to(device_of(judge))) for part in torch.split(x, 256)]
    logits = {a: torch.cat([part[a].cpu() for part in parts]) for a in judge.answers}
    temperatures = torch.linspace(-1.5, 1.5, 61)
    scores: dict[str, list[float]] = {a: [] for a in judge.answers}
    for temperature in temperatures:
        scaled = {a: values / temperature.exp() for a, values in logits.items()}
        for attribute, value in cross_entropy(scaled, vars(truth)).items():
            scores[attribute].append(float(value))
    judge.log_temperature.copy_(torch.stack([temperatures[int(np.argmin(scores[a]))] for a in judge.answers]))
