"""Muon (Jordan 2024): momentum whose direction is orthogonalised, for matrices and convolution kernels.

`torch.optim.Muon` takes matrices only; here a kernel is a matrix too, its output channels against the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum, each update replaced by the nearest semi-orthogonal matrix."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Do one update."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                buffer = state.setdefault("momentum", torch.zeros_like(parameter))
                buffer.mul_(group["momentum"]).add_(parameter.grad)
                direction = parameter.grad.add(buffer, alpha=group["momentum"]).flatten(1)
                rows, columns = direction.shape
                update = orthogonalized(direction) * max(1.0, rows / columns) ** 0.5
                parameter.sub_(group["lr"] * update.view_as(parameter))


def orthogonalized(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Return roughly `U Vᵀ` of `matrix = U S Vᵀ` (singular values end between 0.7 and 1.2), by Newton–Schulz steps.

    A step X ← (aI + bG + cG²) X with G = X Xᵀ changes G to P G P, as P commutes with it; so all steps can be taken on
    the small G, and X be multiplied once. That is cheaper where X is three times as wide as high, as most kernels are.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    rows, columns = wide.shape
    result = _stepped_by_gram(wide, iterations) if columns >= 3 * rows else _stepped(wide, iterations)
    return result if matrix.shape[0] <= matrix.shape[1] else result.T


_A, _B, _C = 3.4445, -4.7750, 2.0315


def _stepped(wide: Tensor, iterations: int) -> Tensor:
    for _ in range(iterations):
        gram = wide @ wide.T
        wide = _A * wide + (_B * gram + _C * gram @ gram) @ wide
    return wide


def _stepped_by_gram(wide: Tensor, iterations: int) -> Tensor:
    gram = wide @ wide.T
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    product = identity
    for _ in range(iterations):
        step = _A * identity + _B * gram + _C * gram @ gram
        product = step @ product
        gram = step @ gram @ step
    return product @ wide
