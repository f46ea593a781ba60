"""ΔW as a product of two thin matrices that are trained, in the place of whole weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor


class LowRank:
    """Weights that stay, with ΔW = B·A on each as a matrix of rows by all else; A is uniform, B is 0 at first.

    Hu et al. 2021 (arXiv 2106.09685). Of a convolution, A has its kernel and B is 1 x 1.

    Args:
        weights: As the edits leave them, by dotted name, of two dimensions or more.
        rank: Of ΔW, at most.
        seed: Of A.

    Attributes:
        tensors: What is trained, by name: `NAME.A` and `NAME.B`.
    """

    def __init__(self, weights: Mapping[str, Tensor], rank: int, seed: int) -> None:
        self._start = weights
        self.tensors: dict[str, Tensor] = {}
        dice = torch.Generator().manual_seed(seed)
        for name, weight in weights.items():
            columns = weight[0].numel()
            a = (torch.rand(rank, columns, generator=dice) * 2 - 1) / columns**0.5
            self.tensors[f"{name}.A"] = a.to(weight.device).requires_grad_()
            self.tensors[f"{name}.B"] = torch.zeros(len(weight), rank, device=weight.device).requires_grad_()

    def current(self) -> dict[str, Tensor]:
        """Return the weights as they are now, in the model's number format; gradients go to what is trained."""
        return {name: (start.float() + self._delta(name)).to(start.dtype) for name, start in self._start.items()}

    @torch.no_grad()
    def deltas(self) -> dict[str, Tensor]:
        """Return ΔW by name."""
        return {name: self._delta(name) for name in self._start}

    def _delta(self, name: str) -> Float[Tensor, "*shape"]:
        product: Tensor = self.tensors[f"{name}.B"] @ self.tensors[f"{name}.A"]
        return product.reshape(self._start[name].shape)
