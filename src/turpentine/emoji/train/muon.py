"""Muon (Jordan 2024): momentum whose direction is orthogonalised, for matrices and convolution kernels.

`torch.optim.Muon` takes matrices only; here a kernel is a matrix too, its output channels against the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum, each update replaced by the nearest semi-orthogonal matrix.

    Matrices of one shape are orthogonalised together: a GPU would otherwise wait for thousands of small products.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float | Tensor, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Do one update."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            grads = [parameter.grad for parameter in parameters]
            buffers = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, grads)
            for alike in _by_shape(parameters):
                direction = torch.stack([grads[i].add(buffers[i], alpha=group["momentum"]).flatten(1) for i in alike])
                rows, columns = direction.shape[-2:]
                update = orthogonalized(direction) * (max(1.0, rows / columns) ** 0.5 * group["lr"])
                for i, change in zip(alike, update, strict=True):
                    parameters[i].sub_(change.view_as(parameters[i]))


def _by_shape(parameters: list[nn.Parameter]) -> list[list[int]]:
    """Return the positions of the parameters that are matrices of one shape, shape by shape."""
    shapes: dict[tuple[int, int], list[int]] = {}
    for i, parameter in enumerate(parameters):
        shapes.setdefault((len(parameter), parameter[0].numel()), []).append(i)
    return list(shapes.values())


def orthogonalized(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Return roughly `U Vᵀ` of `matrix = U S Vᵀ` (singular values end between 0.7 and 1.2), by Newton–Schulz steps.

    A step X ← (aI + bG + cG²) X with G = X Xᵀ changes G to P G P, as P commutes with it; so all steps can be taken on
    the small G, and X be multiplied once. That is cheaper where X is three times as wide as high, as most kernels are.

    Args:
        matrix: One matrix, or a stack of them.
        iterations: Newton–Schulz steps.
    """
    rows, columns = matrix.shape[-2:]
    wide = matrix if rows <= columns else matrix.mT
    wide = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    by_gram = max(rows, columns) >= 3 * min(rows, columns)
    result = _stepped_by_gram(wide, iterations) if by_gram else _stepped(wide, iterations)
    return result if rows <= columns else result.mT


_A, _B, _C = 3.4445, -4.7750, 2.0315


def _stepped(wide: Tensor, iterations: int) -> Tensor:
    for _ in range(iterations):
        gram = wide @ wide.mT
        wide = _A * wide + (_B * gram + _C * gram @ gram) @ wide
    return wide


def _stepped_by_gram(wide: Tensor, iterations: int) -> Tensor:
    gram = wide @ wide.mT
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    product = identity
    for _ in range(iterations):
        step = _A * identity + _B * gram + _C * gram @ gram
        product = step @ product
        gram = step @ gram @ step
    return product @ wide
