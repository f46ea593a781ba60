"""One short text that says which model this is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

# Only what changes the function and not the weights' shapes. Whole configs will not do: libraries add keys to them.
_CONFIG = {
    "unet": ("attention_head_dim", "down_block_types", "up_block_types", "sample_size"),
    "vae": ("scaling_factor",),
    "text_encoder": ("hidden_act", "num_attention_heads"),
    "text_encoder_2": ("hidden_act", "num_attention_heads"),
    "scheduler": ("prediction_type", "num_train_timesteps", "beta_start", "beta_end", "beta_schedule"),
}


def fingerprint(pipeline: Any) -> str:
    """SHA-256, in hexadecimal, over the configs and weights of all parts of a pipeline.

    Weights count as fp16, so that a model has one fingerprint whether it is loaded as fp32 or as fp16.
    """
    digest = hashlib.sha256()
    for component, keys in _CONFIG.items():
        part = getattr(pipeline, component, None)
        if part is not None:
            digest.update(_facts(component, part, keys))
            for name, weight in _weights(part):
                digest.update(f"{name}{tuple(weight.shape)}".encode())
                digest.update(_bytes(weight))
    return digest.hexdigest()


def _facts(component: str, part: Any, keys: tuple[str, ...]) -> bytes:
    config = {key: getattr(part.config, key, None) for key in keys}
    return json.dumps([component, config], default=list).encode()


def _weights(part: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(part, nn.Module):
        # transformers 5 took the level `text_model` out of its text encoder.
        for name, weight in part.named_parameters():
            yield name.removeprefix("text_model."), weight


def _bytes(weight: Tensor) -> bytes:
    array = weight.detach().to("cpu", torch.float16).numpy()
    return bytes(array.tobytes())
