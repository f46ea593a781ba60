"""What cross-attention attends to, computed beside the network's own fast attention, at hooked modules only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

ByHead = Float[Tensor, "row head token width"]
Place = Callable[[ByHead], ByHead]
"""What turns queries or keys by their places, where a network does so."""

CHUNK = 2**24
"""Probabilities computed at a time, at most, unless one row and head need more: 64 MB in fp32."""


@torch.no_grad()
def probabilities(
    attention: Any,
    pixels: Float[Tensor, "row ..."],
    text: Float[Tensor, "row token width"],
    bias: Float[Tensor, "row 1 token"] | None = None,
    *,
    place: tuple[Place, Place] | None = None,
) -> Iterator[tuple[slice, Float[Tensor, "row head pixel token"]]]:
    """Yield softmax(q·kᵀ/√d) of an attention module, heads by heads, in fp32.

    In joint attention the softmax is over picture and text; its part over the text, made to sum to 1, is the softmax
    over the text alone.

    Args:
        attention: A module with diffusers' layers `to_q` and `to_k`, or in joint attention `add_k_proj`, and its
            `heads`; its `scale` is 1/√d where it has none.
        pixels: What the queries are made from: (row, pixel, width), or a feature map of (row, width, height, width).
        text: What the keys are made from.
        bias: Added to all agreements with a token before the softmax, such as a large negative number for padding.
        place: What turns the picture's tokens, and the text's, by their places.

    Yields:
        The heads and their probabilities; each row of a pixel sums to 1 over the tokens, padding among them.
    """
    is_joint = getattr(attention, "add_k_proj", None) is not None
    of_text, norm = (attention.add_k_proj, "norm_added_k") if is_joint else (attention.to_k, "norm_k")
    query = normed(attention, "norm_q", attention.to_q.forward(_flat(pixels)))
    key = normed(attention, norm, of_text.forward(text.to(pixels.dtype)))
    query, key = (place[0](query), place[1](key)) if place else (query, key)
    rows, heads, count, width = query.shape
    scale = getattr(attention, "scale", width**-0.5)
    at_once = max(1, CHUNK // (rows * count * key.shape[2]))
    for first in range(0, heads, at_once):
        some = slice(first, min(first + at_once, heads))
        agreement = query[:, some].float() @ key[:, some].float().transpose(-1, -2)
        agreement = scale * agreement
        yield some, (agreement if bias is None else agreement + bias.float()[:, None]).softmax(-1)


def normed(attention: Any, name: str, x: Tensor) -> Tensor:
    """Return queries or keys by head after a norm of the module, which some have over all heads together, or none."""
    norm = getattr(attention, name, None)
    if norm is None:
        return by_head(attention, x)
    is_over_all = norm.weight is not None and norm.weight.numel() == x.shape[-1]
    return by_head(attention, norm.forward(x)) if is_over_all else norm.forward(by_head(attention, x))


def _flat(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2) if x.ndim == 4 else x


def by_head(attention: Any, x: Tensor) -> Tensor:
    """Return tokens by heads: row, head, token, width of a head."""
    return x.reshape(*x.shape[:2], attention.heads, -1).transpose(1, 2)


def grid(pixels: int, height: int, width: int) -> tuple[int, int]:
    """Return the height and width of a feature map of so many pixels, halved (and rounded up) from the latents'."""
    while height * width > pixels:
        height, width = -(-height // 2), -(-width // 2)
    if height * width != pixels:
        raise ValueError(f"{pixels} pixels are no halving of the latents")
    return height, width
