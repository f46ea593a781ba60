"""Tensors in a byte a number: rows of integers from −127 to 127, each row with a scale in fp16."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

INTEGERS, SCALES = ".int8", ".scale"


def packed(tensors: Mapping[str, Tensor], smallest: int = 1024) -> dict[str, Tensor]:
    """Return matrices and kernels as rows of int8 with a scale each, and everything else in fp16.

    Example:
        >>> small = packed({"weight": torch.linspace(-1, 1, 2048).view(2, 1024), "bias": torch.ones(2)})
        >>> sorted(small), small["weight.int8"].dtype
        (['bias', 'weight.int8', 'weight.scale'], torch.int8)
        >>> float((unpacked(small)["weight"] - torch.linspace(-1, 1, 2048).view(2, 1024)).abs().max()) < 1 / 254 + 1e-3
        True

    Args:
        tensors: By name, in any floating-point format.
        smallest: Tensors with fewer numbers stay in fp16.
    """
    small: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or tensor.numel() < smallest:
            small[name] = tensor.detach().half().cpu()
            continue
        rows = tensor.detach().float().flatten(1)
        scale = (rows.abs().amax(1, keepdim=True) / 127).half().clamp(min=6e-8)
        small[name + INTEGERS] = (rows / scale.float()).round().clamp(-127, 127).to(torch.int8).view(tensor.shape).cpu()
        small[name + SCALES] = scale.flatten().cpu()
    return small


def unpacked(small: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return tensors that `packed` made, as numbers of one format again.

    Args:
        small: From `packed`.
        dtype: Format of the numbers.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in small.items():
        if name.endswith(INTEGERS):
            name = name.removesuffix(INTEGERS)
            scale = small[name + SCALES].float().view(-1, *[1] * (tensor.ndim - 1))
            tensors[name] = (tensor.float() * scale).to(dtype)
        elif not name.endswith(SCALES) or name.removesuffix(SCALES) + INTEGERS not in small:
            tensors[name] = tensor.to(dtype)
    return tensors
