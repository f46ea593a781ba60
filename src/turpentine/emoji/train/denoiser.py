"""The denoiser's stage: a small Stable Diffusion UNet, ε-prediction on cached latents, min-SNR weights (Hang 2023)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from jaxtyping import Float, Int
from torch import Tensor, nn

from turpentine.emoji.captions import WORLD, Draw, Mixture, draw
from turpentine.emoji.towers import Towers
from turpentine.emoji.train.data import batch
from turpentine.emoji.train.loop import Loss, device_of, generator

EMPTY_CAPTIONS = 0.1
MIN_SNR = 5.0


def build(
    channels: tuple[int, ...], heads: int, text_width: int, latent_size: int, *, bf16: bool = True
) -> UNet2DConditionModel:
    """Return an untrained UNet like SD 1's: four levels, two layers a block, cross-attention in all but the lowest.

    Where it will compute in bfloat16, its attention is written out: with heads this narrow that trains twice as fast
    there as torch's fused one, and in float32 a tenth slower.
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
    if bf16:
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


@dataclass
class LatentCache:
    """Encoded pictures and captions: mean and deviation of the unscaled latents, and each picture's caption."""

    mean: Float[Tensor, "pictures 4 height width"]
    std: Float[Tensor, "pictures 4 height width"]
    caption: Int[Tensor, " pictures"]
    hidden: Float[Tensor, "captions tokens features"]
    """The text tower's states for each distinct caption; row 0 is the empty one."""


@torch.inference_mode()
def cache(
    vae: AutoencoderKL,
    towers: Towers,
    pictures: int,
    size: int,
    rng: np.random.Generator,
    say: Callable[[str], None],
    mixture: Mixture = WORLD,
    draw: Draw = draw,
) -> LatentCache:
    """Render and encode captioned pictures once, for all updates."""
    captions: dict[str, int] = {"": 0}
    means, stds, which = [], [], []
    for start in range(0, pictures, 256):
        x, captioned = batch(rng, min(256, pictures - start), size, mixture, draw)
        x = x.to(device_of(vae)).contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(x).latent_dist
        means.append(posterior.mean.half().cpu())
        stds.append(posterior.std.half().cpu())
        which += [captions.setdefault(d.caption, len(captions)) for d in captioned]
        if start % 8192 == 0:
            say(f"latents: {start} of {pictures} pictures")
    words = list(captions)
    hidden = [
        towers.text(towers.tokens(words[i : i + 256])).last_hidden_state.half().cpu() for i in range(0, len(words), 256)
    ]
    say(f"latents: {pictures} pictures, {len(words)} distinct captions")
    return LatentCache(torch.cat(means), torch.cat(stds), torch.tensor(which), torch.cat(hidden))


def scaling_factor(cached: LatentCache) -> float:
    """Return the factor that brings the latents to unit variance (Rombach 2022, section G)."""
    mean = cached.mean.float()
    return float(1 / (mean.var() + cached.std.float().square().mean()).sqrt())


def loss(unet: nn.Module, cached: LatentCache, scale: float, batch_size: int) -> Loss:
    """Return the loss E‖ε − ε_θ(x_t, t, c)‖², each t weighted by min(SNR, 5) / SNR, one caption in ten empty."""
    alphas_cumprod = scheduler().alphas_cumprod
    snr = alphas_cumprod / (1 - alphas_cumprod)
    weight = snr.clamp(max=MIN_SNR) / snr

    def value(rng: np.random.Generator) -> Tensor:
        rows = torch.from_numpy(rng.integers(len(cached.caption), size=batch_size))
        empty = torch.from_numpy(rng.random(batch_size) < EMPTY_CAPTIONS)
        # One t from each of batch_size equal slices of the schedule: less noisy than independent draws.
        t = torch.from_numpy(((np.arange(batch_size) + rng.random(batch_size)) / batch_size * 1000).astype(np.int64))
        random = generator(rng)
        mean, std = cached.mean[rows].float(), cached.std[rows].float()
        latents = scale * (mean + std * torch.randn(mean.shape, generator=random))
        eps = torch.randn(latents.shape, generator=random)
        a = alphas_cumprod[t].view(-1, 1, 1, 1)
        x = a.sqrt() * latents + (1 - a).sqrt() * eps
        hidden = cached.hidden[cached.caption[rows].masked_fill(empty, 0)].float()
        device = device_of(unet)
        x = x.to(device).contiguous(memory_format=torch.channels_last)
        predicted = unet(x, t.to(device), hidden.to(device)).sample
        error: Tensor = (predicted.float() - eps.to(device)).square().mean((1, 2, 3))
        weighted: Tensor = weight[t].to(device) * error
        return weighted.mean()

    return value
