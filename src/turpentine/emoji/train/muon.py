"""Muon (Jordan 2024): momentum whose direction is orthogonalised, for matrices and convolution kernels.

torch's own takes matrices only; a kernel is a matrix here, its output channels against the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum, each update replaced by its nearest semi-orthogonal matrix."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
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
    """Roughly ``U Vᵀ`` of ``matrix = U S Vᵀ`` (singular values end between 0.7 and 1.2), by Newton–Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(iterations):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
