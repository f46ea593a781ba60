"""The outputs of a network's layers for a picture, as maps of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.emoji.vision import Residual, SmallCNN

Maps: TypeAlias = list[Float[Tensor, "picture _ _ _"]]
"""A map for each layer, first to last, on the CPU: picture, channel, height, width, where the last three are each
layer's own."""


def cnn_maps(network: SmallCNN, x: Float[Tensor, "picture 3 height width"]) -> Maps:
    """Return the outputs of the residual blocks of the emoji world's networks."""
    maps, h = [], network.conv_in(x)
    for stage in network.stages:
        h = stage(h)
        if isinstance(stage, Residual):
            maps.append(h)
    return maps


def as_maps(states: Sequence[Tensor]) -> Maps:
    """Return the hidden states of a transformer as maps, without the first, which is its input.

    Args:
        states: Maps already, or `picture token channel`: then the last tokens that fill a square are the picture's, and
            those before them are a class token or the like.

    Raises:
        BadArgument: A state has another shape.
    """
    return [_as_map(state).float().cpu() for state in states[1:]]


def joined(parts: Sequence[Maps]) -> Maps:
    """Join the maps of batches of pictures into those of all pictures."""
    return [torch.cat(layers) for layers in zip(*parts, strict=True)]


def _as_map(state: Tensor) -> Float[Tensor, "picture channel height width"]:
    if state.ndim == 4:
        return state
    if state.ndim != 3:
        raise BadArgument(f"A hidden state of shape {tuple(state.shape)} is no map of a picture: take another network.")
    side = math.isqrt(state.shape[1])
    places = state[:, -side * side :].transpose(1, 2)
    return places.reshape(*places.shape[:2], side, side)
