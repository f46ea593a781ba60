"""One short text that says which model this is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def fingerprint(pipeline: Any, keys_of: Mapping[str, tuple[str, ...]]) -> str:
    """SHA-256, in hexadecimal, over the configs and weights of all parts of a pipeline.

    keys_of: what counts of each part's config, and in which order the parts do: `Family.identity_keys`.
    Weights count as fp16, so that a model has one fingerprint whether it is loaded as fp32 or as fp16.
    """
    digest = hashlib.sha256()
    for component, keys in keys_of.items():
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
