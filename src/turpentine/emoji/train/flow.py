"""The transformer's stage: a small `SD3Transformer2DModel`, rectified flow on cached latents (Esser 2024)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from scipy.special import ndtri
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

from turpentine.emoji.towers import LENGTH, Towers
from turpentine.emoji.train.denoiser import EMPTY_CAPTIONS, Hidden, LatentCache
from turpentine.emoji.train.loop import device_of, dtype_of, generator
from turpentine.emoji.train.update import Batch, Loss


def build(
    layers: int, heads: int, head_width: int, context: int, pooled: int, latent_size: int
) -> SD3Transformer2DModel:
    """Return an untrained transformer with joint attention over a latent's points and a caption's tokens.

    Args:
        layers: Joint blocks.
        heads: Heads of each.
        head_width: Features of a head.
        context: Features of a token of the caption.
        pooled: Features of the vector of a caption.
        latent_size: Side of the latents; each point is a token.
    """
    return SD3Transformer2DModel(
        sample_size=latent_size,
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=layers,
        attention_head_dim=head_width,
        num_attention_heads=heads,
        caption_projection_dim=heads * head_width,
        joint_attention_dim=context,
        pooled_projection_dim=pooled,
        pos_embed_max_size=latent_size,
        qk_norm="rms_norm",
    )


def states(pair: tuple[Towers, Towers]) -> Callable[[list[str]], Hidden]:
    """Return what SD 3 is told of captions by its two CLIP towers.

    That is the last states but one of both, side by side, and the projected vectors of both. Its third encoder, T5, is
    left out, as its pipeline allows: zeros take its place, see `loss`.
    """

    def embed(captions: list[str]) -> Hidden:
        outputs = [towers.text(towers.tokens(captions), output_hidden_states=True) for towers in pair]
        hidden = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return hidden, torch.cat([output.text_embeds for output in outputs], dim=-1)

    return embed


def _draw(rng: np.random.Generator, cached: LatentCache, scale: float, batch_size: int) -> Batch:
    """Draw latents on their way to noise, the velocity there, σ and captions, one in ten empty.

    σ is logit-normal, one from each of batch_size equal slices of the distribution.
    """
    rows = torch.from_numpy(rng.integers(len(cached.caption), size=batch_size))
    empty = torch.from_numpy(rng.random(batch_size) < EMPTY_CAPTIONS)
    normal = ndtri((np.arange(batch_size) + rng.uniform(1e-3, 1 - 1e-3, batch_size)) / batch_size)
    sigma = torch.from_numpy(1 / (1 + np.exp(-normal))).float()
    random = generator(rng)
    latents = scale * cached.sampled(rows, random)
    eps = torch.randn(latents.shape, generator=random)
    s = sigma.view(-1, 1, 1, 1)
    caption = cached.caption[rows].masked_fill(empty, 0)
    return {
        "x": (1 - s) * latents + s * eps,
        "velocity": eps - latents,
        "t": 1000 * sigma,
        "hidden": cached.hidden[caption].float(),
        "pooled": cached.pooled[caption].float(),
    }


def loss(transformer: nn.Module, cached: LatentCache, scale: float, batch_size: int) -> Loss:
    """Return the loss E‖(ε − x₀) − v_θ((1 − σ) x₀ + σ ε, σ, c)‖² of rectified flow, σ logit-normal."""
    no_t5 = torch.zeros(batch_size, LENGTH, cached.hidden.shape[-1], device=device_of(transformer))

    def value(batch: Batch) -> Tensor:
        x, hidden, pooled = (batch[name].to(dtype_of(transformer)) for name in ("x", "hidden", "pooled"))
        context = torch.cat([hidden, no_t5.to(hidden)], dim=1)
        predicted = transformer(x, context, pooled, batch["t"]).sample
        error: Tensor = (predicted.float() - batch["velocity"]).square().mean()
        return error

    return Loss(partial(_draw, cached=cached, scale=scale, batch_size=batch_size), value)


def pipeline(
    vae: AutoencoderKL,
    encoders: tuple[CLIPTextModelWithProjection, CLIPTextModelWithProjection],
    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer],
    transformer: SD3Transformer2DModel,
) -> StableDiffusion3Pipeline:
    """Return the parts as a `StableDiffusion3Pipeline`, without T5."""
    vae.register_to_config(shift_factor=0.0)
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=vae,
        text_encoder=encoders[0],
        tokenizer=tokenizers[0],
        text_encoder_2=encoders[1],
        tokenizer_2=tokenizers[1],
        text_encoder_3=None,
        tokenizer_3=None,
    )
