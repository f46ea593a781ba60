"""Muon (Jordan 2024): momentum whose direction is orthogonalised, for matrices and convolution kernels.

`torch.optim.Muon` takes matrices only; here a kernel is a matrix too, its output channels against the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum, each update replaced by the nearest semi-orthogonal matrix."""

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
            directions = torch._foreach_add(grads, buffers, alpha=group["momentum"])
            updates = orthogonalized([direction.flatten(1) for direction in directions])
            tall = [max(1.0, len(update) / update.shape[1]) ** 0.5 for update in updates]
            torch._foreach_mul_(updates, tall)
            torch._foreach_mul_(updates, group["lr"])
            torch._foreach_sub_(parameters, [u.view_as(p) for u, p in zip(updates, parameters, strict=True)])


_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5


def orthogonalized(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Return roughly `U Vᵀ` of each `U S Vᵀ` (singular values end between 0.7 and 1.2), by Newton–Schulz steps.

    A step X ← (aI + bG + cG²) X with G = X Xᵀ changes G to P G P, as P commutes with it; so all steps are taken on the
    small G, and X is multiplied once. Matrices are stacked: those of one shape, and all G of one size, for a GPU would
    otherwise wait for thousands of small products.

    Args:
        matrices: Of any shapes, high or wide.
    """
    shapes = _alike(matrices)
    wide = {shape: _wide(matrices, alike) for shape, alike in shapes.items()}
    factors = _factors({shape: stack @ stack.mT for shape, stack in wide.items()})
    results: list[Tensor] = list(matrices)
    for shape, alike in shapes.items():
        products = factors[shape] @ wide[shape]
        for i, product in zip(alike, products, strict=True):
            results[i] = product if shape[0] <= shape[1] else product.mT.contiguous()
    return results


Shape = tuple[int, int]


def _alike(matrices: Sequence[Tensor]) -> dict[Shape, list[int]]:
    """Return the positions of the matrices of each shape."""
    shapes: dict[Shape, list[int]] = {}
    for i, matrix in enumerate(matrices):
        shapes.setdefault((matrix.shape[0], matrix.shape[1]), []).append(i)
    return shapes


def _wide(matrices: Sequence[Tensor], alike: list[int]) -> Tensor:
    """Return matrices of one shape as one stack, lying on their longer side, each of norm 1."""
    stack = torch.stack([matrices[i] for i in alike])
    wide: Tensor = stack if stack.shape[1] <= stack.shape[2] else stack.mT
    normed: Tensor = wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)
    return normed


def _factors(grams: dict[Shape, Tensor]) -> dict[Shape, Tensor]:
    """Return what all steps together multiply each matrix with, from its G."""
    sizes: dict[int, list[Shape]] = {}
    for shape in grams:
        sizes.setdefault(min(shape), []).append(shape)
    factors: dict[Shape, Tensor] = {}
    for shapes in sizes.values():
        product = _stepped(torch.cat([grams[shape] for shape in shapes]))
        factors |= dict(zip(shapes, torch.split(product, [len(grams[shape]) for shape in shapes]), strict=True))
    return factors


def _stepped(gram: Tensor) -> Tensor:
    identity = _A * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    product: Tensor | None = None
    for n in range(_STEPS):
        step = torch.baddbmm(torch.add(identity, gram, alpha=_B), gram, gram, alpha=_C)
        product = step if product is None else step @ product
        if n < _STEPS - 1:
            gram = step @ gram @ step
    assert product is not None
    return product
