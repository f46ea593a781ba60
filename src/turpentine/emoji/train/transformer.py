"""Train the transformer, `emoji-mmdit`, beside the shipped autoencoder and two text towers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel

from turpentine.core.hashing import digest_tensor
from turpentine.core.parts import TENSORS, Parts
from turpentine.emoji.captions import HARD, WORLD
from turpentine.emoji.towers import Towers
from turpentine.emoji.train import flow
from turpentine.emoji.train.denoiser import Chunk, LatentCache, cache, rendered
from turpentine.emoji.train.loop import StageRun
from turpentine.emoji.train.presets import Stage, TransformerPreset
from turpentine.emoji.train.stages import Say, train_stage
from turpentine.emoji.train.update import Loss, building

MIXTURES = (WORLD, HARD)
STAGES = ("flow", "finish")


def pictures(preset: TransformerPreset, seed: int, number: int) -> Iterable[Chunk]:
    """Render the pictures of one of the two stages."""
    return rendered(np.random.default_rng((seed, 0xCAC4E, number)), preset.cached_pictures, 32, MIXTURES[number])


def train_transformer(
    preset: TransformerPreset,
    folder: Path,
    say: Say,
    vae: AutoencoderKL,
    pair: tuple[Towers, Towers],
    *,
    device: str = "cpu",
    seed: int = 0,
    chunks: Callable[[int], Iterable[Chunk]] | None = None,
) -> SD3Transformer2DModel:
    """Return the transformer, trained in two stages; the same call goes on after a kill.

    Args:
        preset: Sizes and schedules.
        folder: For checkpoints and logs.
        say: Receives progress, a line at a time.
        vae: The autoencoder, with its scaling factor, on the device.
        pair: The two text towers, on the device.
        device: Where to train.
        seed: Of initial weights and pictures.
        chunks: Gives the pictures of a stage by its number; None renders them.
    """
    context, pooled = (sum(getattr(t.text.config, key) for t in pair) for key in ("hidden_size", "projection_dim"))
    with building:
        torch.manual_seed(seed)
        transformer = flow.build(preset.layers, preset.heads, preset.head_width, context, pooled, 8).to(device)
    settings = json.loads(json.dumps({"seed": seed, **asdict(preset)}))
    made_by = [digest_tensor(weight) for part in (vae, *pair) for weight in part.parameters()]
    latents = Parts(folder, ["latents", settings, made_by], TENSORS)
    finished = Parts(folder, ["weights", settings, made_by], TENSORS)
    chunks = chunks or partial(pictures, preset, seed)
    for number, name in enumerate(STAGES):
        stage: Stage = getattr(preset, name)

        def loss(number: int = number, name: str = name, stage: Stage = stage) -> Loss:
            parts = latents.part(name, lambda: vars(cache(vae, flow.states(pair), chunks(number), say)))
            return flow.loss(transformer, LatentCache(**parts), vae.config.scaling_factor, stage.batch)

        train_stage(StageRun(name, transformer, stage.schedule, folder), loss, finished, say)
    return transformer
