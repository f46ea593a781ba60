"""A model's weights as one text, and edits made up for tests."""

from __future__ import annotations

import hashlib

import torch

from turpentine.edits import Edit, Provenance
from turpentine.models import Model

NAMES = (
    "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.bias",
    "unet.conv_in.weight",
)


def weights_hash(model: Model) -> str:
    """SHA-256 over every bit of every parameter and buffer, where it is stored, and whether it wants gradients."""
    sha = hashlib.sha256()
    for component in model.components.values():
        for name, tensor in [*component.named_parameters(), *component.named_buffers()]:
            sha.update(f"{name} {tensor.dtype} {tensor.requires_grad} {tensor.grad} {tensor.data_ptr()}".encode())
            sha.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def made_up(model: Model, seed: int = 0, names: tuple[str, ...] = NAMES, base: bool = True) -> Edit:
    """A random edit of some weights, which fits the model."""
    generator = torch.Generator().manual_seed(seed)
    deltas = {name: 0.1 * torch.randn(model.parameter(name).shape, generator=generator) for name in names}
    return Edit(deltas, Provenance(base=model.fingerprint if base else "", model=model.name, seed=seed))
