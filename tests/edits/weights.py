"""Edits made up for tests, and a model's weights as one text."""

from __future__ import annotations

import torch

from turpentine.edits import Edit, Provenance
from turpentine.models import Model
from turpentine.testing.state import weights_hash

__all__ = ["NAMES", "made_up", "weights_hash"]

NAMES = (
    "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.bias",
    "unet.conv_in.weight",
)


def made_up(model: Model, seed: int = 0, names: tuple[str, ...] = NAMES, base: bool = True) -> Edit:
    """A random edit of some weights, which fits the model."""
    generator = torch.Generator().manual_seed(seed)
    deltas = {name: 0.1 * torch.randn(model.parameter(name).shape, generator=generator) for name in names}
    return Edit(deltas, Provenance(base=model.fingerprint if base else "", model=model.name, seed=seed))
