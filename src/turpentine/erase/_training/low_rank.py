"""Training of ΔW = B·A in the place of whole weights (LoRA, Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from turpentine.core.errors import EmptySelection
from turpentine.erase._training.training import Masters
from turpentine.models import Model

Factors = tuple[Float[Tensor, "rank into"], Float[Tensor, "out rank"]]


class LowRank(Masters):
    """Two thin matrices in fp32 for each weight of a linear layer or a convolution; other parameters stay.

    A begins evenly between ±1/√(inputs), as PEFT's does, and B at 0, so that training begins at the model itself.

    Args:
        model: The model.
        names: Dotted names of the weights to train.
        rank: Of every weight, or the smaller of its sides where that is less.
        seed: Of A.

    Raises:
        EmptySelection: None of the names is a matrix.
    """

    def __init__(self, model: Model, names: Iterable[str], rank: int, seed: int) -> None:
        weights = {name: model.parameter(name).detach() for name in names}
        self._start = {name: weight for name, weight in weights.items() if weight.ndim > 1}
        if not self._start:
            raise EmptySelection("A LoRA holds linear and convolution layers only: select some.")
        generator = torch.Generator().manual_seed(seed)
        self._factors = {name: _begun(weight, rank, generator) for name, weight in self._start.items()}
        self.tensors = {
            f"{name}/{side}": factor
            for name, factors in self._factors.items()
            for side, factor in zip(("down", "up"), factors, strict=True)
        }

    def cast(self) -> dict[str, Tensor]:
        """Return W + B·A in the model's number format, with the gradient flowing back to A and B."""
        return {name: weight + self._product(name).to(weight.dtype) for name, weight in self._start.items()}

    @torch.no_grad()
    def deltas(self) -> dict[str, Tensor]:
        """Return ΔW = B·A."""
        return {name: self._product(name) for name in self._start}

    def _product(self, name: str) -> Tensor:
        down, up = self._factors[name]
        return (up @ down).reshape(self._start[name].shape)


def _begun(weight: Tensor, rank: int, generator: torch.Generator) -> Factors:
    out, into = weight.flatten(1).shape
    count = min(rank, out, into)
    down = (2 * torch.rand(count, into, generator=generator) - 1) / into**0.5
    up = torch.zeros(out, count)
    return down.to(weight.device).requires_grad_(), up.to(weight.device).requires_grad_()
