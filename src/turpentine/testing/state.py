"""Hash a model's weights bit by bit, so that a test can tell whether anything changed, and what."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from turpentine.models import Model


def weights_hash(model: Model) -> str:
    """Return the SHA-256 of every parameter and buffer: bits, place in memory, and whether it requires gradients."""
    sha = hashlib.sha256()
    for name, tensor in _tensors(model):
        sha.update(f"{name} {tensor.dtype} {tensor.requires_grad} {tensor.grad} {tensor.data_ptr()}".encode())
        sha.update(_bits(tensor))
    return sha.hexdigest()


def digests(model: Model) -> dict[str, bytes]:
    """Return the SHA-256 of each parameter and buffer, by its dotted name with the component first."""
    return {name: hashlib.sha256(_bits(tensor)).digest() for name, tensor in _tensors(model)}


def _tensors(model: Model) -> Iterator[tuple[str, Tensor]]:
    for component, network in model.components.items():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            yield f"{component}.{name}", tensor


def _bits(tensor: Tensor) -> memoryview:
    data: memoryview = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return data
