"""Keys and values of the text as they are in a run of another prompt: which layers make them, and where that can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from turpentine.core.errors import BadArgument
from turpentine.models.conditioning import Conditioning
from turpentine.models.model import Model
from turpentine.models.sites import READS_TEXT, Site, Sites


def layers_inside(layers: Sites, modules: Sequence[Site]) -> Sites:
    """Return the layers that are inside of some modules."""
    within = tuple(f"{site.name}." for site in modules)
    return replace(layers, chosen=tuple(layer for layer in layers if layer.name.startswith(within)))


def keys_and_values(model: Model) -> Sites:
    """Return the layers that make keys and values of the text."""
    return model.sites.only(kind=READS_TEXT, level="layer", role=("key", "value"))


def check_same_mask(cond: Conditioning, other: Conditioning) -> None:
    """Check that keys and values of one text can stand in for another's.

    Raises:
        BadArgument: The model has a mask of its padding, and they are of different length.
    """
    if cond.mask is not None and other.mask is not None and not torch.equal(cond.mask, other.mask):
        raise BadArgument(
            "This model's text has a mask of its padding, so that the other prompt must have as many tokens: give "
            "a target as long as the concept."
        )
