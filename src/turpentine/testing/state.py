"""Hash a model's weights bit by bit, and count its hooks, so that a test sees whether anything changed, and what."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from turpentine.core.hashing import digest_bytes, digest_chunks, tensor_bytes
from turpentine.models import Model


def weights_hash(model: Model) -> str:
    """Return the SHA-256 of every parameter and buffer: bits, place in memory, and whether it requires gradients."""
    pairs = ((_facts(name, tensor), tensor_bytes(tensor)) for name, tensor in _tensors(model))
    return digest_chunks(chunk for pair in pairs for chunk in pair)


def digests(model: Model) -> dict[str, str]:
    """Return the SHA-256 of each parameter and buffer, by its dotted name with the component first."""
    return {name: digest_bytes(tensor_bytes(tensor)) for name, tensor in _tensors(model)}


def hook_count(model: Model) -> int:
    """Return how many hooks are on the modules of a model."""
    parts = [part for whole in model.components.values() for part in whole.modules()]
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks) for part in parts)


def _tensors(model: Model) -> Iterator[tuple[str, Tensor]]:
    for component, network in model.components.items():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            yield f"{component}.{name}", tensor


def _facts(name: str, tensor: Tensor) -> bytes:
    return f"{name} {tensor.dtype} {tensor.requires_grad} {tensor.grad} {tensor.data_ptr()}".encode()
