"""What cross-attention attends to, computed beside the network's own fast attention, only where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from turpentine.models.hooks import Call

CHUNK = 2**24
"""Probabilities computed at a time, at most, unless one row and head need more: 64 MB in fp32."""


@torch.no_grad()
def probabilities(call: Call) -> Iterator[tuple[slice, Float[Tensor, "row head pixel token"]]]:
    """softmax(q·kᵀ/√d) of a cross-attention module, after its call, on the conditional rows: heads by heads, in fp32.

    Yields the heads and their probabilities; each row of a pixel sums to 1 over the tokens, padding among them.
    """
    attention: Any = call.module
    pixels = call.args[0] if call.args else call.kwargs["hidden_states"]
    text = call.kwargs["encoder_hidden_states"]
    query = _by_head(attention, attention.to_q.forward(_flat(pixels[call.rows])))
    key = _by_head(attention, attention.to_k.forward(text[call.rows].to(pixels.dtype)))
    rows, heads, count, _ = query.shape
    at_once = max(1, CHUNK // (rows * count * key.shape[2]))
    for first in range(0, heads, at_once):
        some = slice(first, min(first + at_once, heads))
        agreement = query[:, some].float() @ key[:, some].float().transpose(-1, -2)
        yield some, (attention.scale * agreement).softmax(-1)


def _flat(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2) if x.ndim == 4 else x


def _by_head(attention: Any, x: Tensor) -> Tensor:
    return x.reshape(*x.shape[:2], attention.heads, -1).transpose(1, 2)


def grid(pixels: int, height: int, width: int) -> tuple[int, int]:
    """Height and width of a feature map of so many pixels, halved (and rounded up) from those of the latents."""
    while height * width > pixels:
        height, width = -(-height // 2), -(-width // 2)
    if height * width != pixels:
        raise ValueError(f"{pixels} pixels are no halving of the latents")
    return height, width
