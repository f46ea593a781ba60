"""The autoencoder's stage: `AutoencoderKL` (Rombach 2022) with factor 4, trained on renders."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor

from turpentine.emoji.captions import WORLD, Mixture
from turpentine.emoji.train.data import batch
from turpentine.emoji.train.loop import dtype_of, generator
from turpentine.emoji.train.update import Batch, Loss

KL_WEIGHT = 1e-4
EDGE_WEIGHT = 0.5


def build(channels: tuple[int, ...], layers: int, size: int) -> AutoencoderKL:
    """Return an untrained autoencoder with one level per entry of `channels`."""
    return AutoencoderKL(
        sample_size=size,
        latent_channels=4,
        block_out_channels=channels,
        layers_per_block=layers,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        norm_num_groups=8,
    ).to(memory_format=torch.channels_last)


def reconstruction(
    y: Float[Tensor, "batch 3 height width"], x: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, ""]:
    """Return L1 + L2 on pixels, plus L1 on differences of neighbouring pixels, which keeps edges crisp."""
    error = y.float() - x
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + error.square().mean() + EDGE_WEIGHT * edges


def _draw(rng: np.random.Generator, batch_size: int, size: int, latent_size: int, mixture: Mixture) -> Batch:
    """Draw fresh renders, and the noise of their latents."""
    pictures = batch(rng, batch_size, size, mixture)[0]
    shape = (batch_size, 4, latent_size, latent_size)
    return {"pictures": pictures, "noise": torch.randn(shape, generator=generator(rng))}


def loss(vae: AutoencoderKL, batch_size: int, size: int, mixture: Mixture = WORLD) -> Loss:
    """Return the loss: reconstruction and a little Kullback–Leibler divergence, on fresh renders."""

    def value(batch: Batch) -> Tensor:
        x = batch["pictures"].contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(x.to(dtype_of(vae))).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        z = mean + (0.5 * logvar).exp() * batch["noise"]
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        total: Tensor = reconstruction(vae.decode(z.to(dtype_of(vae))).sample, x) + KL_WEIGHT * kl
        return total

    latent_size = size // 2 ** (len(vae.config.block_out_channels) - 1)
    return Loss(partial(_draw, batch_size=batch_size, size=size, latent_size=latent_size, mixture=mixture), value)
