"""The denoiser's stage: a small Stable Diffusion UNet, ε-prediction on cached latents, min-SNR weights (Hang 2023)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache as once
from functools import partial

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from turpentine.emoji.captions import WORLD, Draw, Mixture, draw
from turpentine.emoji.towers import Towers
from turpentine.emoji.train.loop import device_of, dtype_of, generator
from turpentine.emoji.train.update import Batch, Loss
from turpentine.emoji.vision import to_tensor
from turpentine.emoji.world import render

EMPTY_CAPTIONS = 0.1
MIN_SNR = 5.0


def build(
    channels: tuple[int, ...], heads: int, text_width: int, latent_size: int, *, written_out: bool = True
) -> UNet2DConditionModel:
    """Return an untrained UNet like SD 1's: four levels, two layers a block, cross-attention in all but the lowest.

    Where its attention is `written_out`, a CPU trains it twice as fast in bfloat16 as with torch's fused one, heads
    being this narrow, and in float32 a tenth slower.
    """
    unet = UNet2DConditionModel(
        sample_size=latent_size,
        block_out_channels=channels,
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=text_width,
        attention_head_dim=heads,  # diffusers' old name: it is the number of heads, as in SD 1
        norm_num_groups=16,
    ).to(memory_format=torch.channels_last)
    if written_out:
        unet.set_attn_processor(AttnProcessor())
    return unet


def scheduler() -> DDIMScheduler:
    """Return DDIM with Stable Diffusion's betas."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


Hidden = tuple[Float[Tensor, "captions tokens features"], Float[Tensor, "captions vector"]]
"""What a denoiser is told of captions: states, and a vector of each."""


@once
def alphas_cumprod() -> Float[Tensor, " steps"]:
    """Return ᾱ of each t."""
    alphas: Tensor = scheduler().alphas_cumprod
    return alphas


@dataclass
class LatentCache:
    """Encoded pictures and captions: mean and deviation of the unscaled latents, and each picture's caption."""

    mean: Float[Tensor, "pictures 4 height width"]
    std: Float[Tensor, "pictures 4 height width"]
    caption: Int[Tensor, " pictures"]
    hidden: Float[Tensor, "captions tokens features"]
    """The text tower's states for each distinct caption; row 0 is the empty one."""
    pooled: Float[Tensor, "captions vector"]
    """A vector for each of them; empty for a denoiser that takes none."""

    def sampled(self, rows: Int[Tensor, " batch"], random: torch.Generator) -> Float[Tensor, "batch 4 height width"]:
        """Return latents of pictures, drawn from their posteriors."""
        mean, std = self.mean[rows].float(), self.std[rows].float()
        return mean + std * torch.randn(mean.shape, generator=random)


Chunk = tuple[UInt8[np.ndarray, "pictures size size 3"], list[str]]
"""Some pictures and their captions."""

CHUNK = 256


def rendered(
    rng: np.random.Generator, pictures: int, size: int, mixture: Mixture = WORLD, draw: Draw = draw
) -> Iterator[Chunk]:
    """Yield captioned pictures in chunks, all drawn by one generator."""
    for start in range(0, pictures, CHUNK):
        captioned = [draw(rng, mixture) for _ in range(min(CHUNK, pictures - start))]
        yield np.stack([render(each.picture, size) for each in captioned]), [each.caption for each in captioned]


@torch.inference_mode()
def cache(
    vae: AutoencoderKL, embed: Callable[[list[str]], Hidden], chunks: Iterable[Chunk], say: Callable[[str], None]
) -> LatentCache:
    """Encode captioned pictures once, for all updates.

    Args:
        vae: Encodes the pictures.
        embed: Gives the states of captions, and a vector of each if the denoiser takes one.
        chunks: The pictures.
        say: Receives progress, a line at a time.
    """
    captions: dict[str, int] = {"": 0}
    means, stds = [], []
    which: list[int] = []
    for pictures, captioned in chunks:
        if len(which) % 8192 == 0:
            say(f"latents: {len(which)} pictures")
        x = to_tensor(pictures).to(device_of(vae)).contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(x).latent_dist
        means.append(posterior.mean.half().cpu())
        stds.append(posterior.std.half().cpu())
        which += [captions.setdefault(caption, len(captions)) for caption in captioned]
    words = list(captions)
    hidden, pooled = zip(*(embed(words[i : i + CHUNK]) for i in range(0, len(words), CHUNK)), strict=True)
    say(f"latents: {len(which)} pictures, {len(captions)} distinct captions")
    return LatentCache(
        torch.cat(means),
        torch.cat(stds),
        torch.tensor(which),
        torch.cat(hidden).half().cpu(),
        torch.cat(pooled).half().cpu(),
    )


def states(towers: Towers) -> Callable[[list[str]], Hidden]:
    """Return what a UNet is told of captions: the text tower's last states, and no vector."""

    def embed(captions: list[str]) -> Hidden:
        hidden = towers.text(towers.tokens(captions)).last_hidden_state
        return hidden, hidden.new_zeros(len(captions), 0)

    return embed


def scaling_factor(cached: LatentCache) -> float:
    """Return the factor that brings the latents to unit variance (Rombach 2022, section G)."""
    mean = cached.mean.float()
    return float(1 / (mean.var() + cached.std.float().square().mean()).sqrt())


def _draw(rng: np.random.Generator, cached: LatentCache, scale: float, batch_size: int) -> Batch:
    """Draw noisy latents x_t, their noise, t and captions' states, one caption in ten empty."""
    rows = torch.from_numpy(rng.integers(len(cached.caption), size=batch_size))
    empty = torch.from_numpy(rng.random(batch_size) < EMPTY_CAPTIONS)
    # One t from each of batch_size equal slices of the schedule: less noisy than independent draws.
    t = torch.from_numpy(((np.arange(batch_size) + rng.random(batch_size)) / batch_size * 1000).astype(np.int64))
    random = generator(rng)
    latents = scale * cached.sampled(rows, random)
    eps = torch.randn(latents.shape, generator=random)
    a = alphas_cumprod()[t].view(-1, 1, 1, 1)
    hidden = cached.hidden[cached.caption[rows].masked_fill(empty, 0)].float()
    return {"x": a.sqrt() * latents + (1 - a).sqrt() * eps, "eps": eps, "t": t, "hidden": hidden}


def loss(unet: nn.Module, cached: LatentCache, scale: float, batch_size: int) -> Loss:
    """Return the loss E‖ε − ε_θ(x_t, t, c)‖², each t weighted by min(SNR, 5) / SNR, one caption in ten empty."""
    snr = alphas_cumprod() / (1 - alphas_cumprod())
    weight = (snr.clamp(max=MIN_SNR) / snr).to(device_of(unet))

    def value(batch: Batch) -> Tensor:
        x, hidden = (batch[name].to(dtype_of(unet)) for name in ("x", "hidden"))
        predicted = unet(x.contiguous(memory_format=torch.channels_last), batch["t"], hidden).sample
        error: Tensor = (predicted.float() - batch["eps"]).square().mean((1, 2, 3))
        weighted: Tensor = weight[batch["t"]] * error
        return weighted.mean()

    return Loss(partial(_draw, cached=cached, scale=scale, batch_size=batch_size), value)
