"""The autoencoder's stage: `AutoencoderKL` (Rombach 2022) with factor 4, trained on renders."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor

from turpentine.emoji.train.data import batch
from turpentine.emoji.train.loop import Loss, device_of, generator

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


def loss(vae: AutoencoderKL, batch_size: int, size: int) -> Loss:
    """Return the loss: reconstruction and a little Kullback–Leibler divergence, on fresh renders."""

    def value(rng: np.random.Generator) -> Tensor:
        x = batch(rng, batch_size, size)[0].to(device_of(vae))
        posterior = vae.encode(x).latent_dist
        z = posterior.sample(generator(rng))
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        total: Tensor = reconstruction(vae.decode(z).sample, x) + KL_WEIGHT * kl
        return total

    return value
