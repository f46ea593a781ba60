"""The embedding with which edited layers answer as they did before, in closed form (Gong et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

from turpentine.core.errors import BadArgument, NotFinite
from turpentine.erase._closed_form.linear import Map, Rows, cholesky

Regulariser = Literal["zero", "target", "surrogate"]


@dataclass(frozen=True, eq=False)
class Adversary:
    """Finds c′ that minimises Σ|W′·c′ − W·c|² + r·R(c′) over all layers W, edited to W′ = W·A, for each state c.

    R is |c′|² for "zero", |c′ − c*|² with c* what stands for the concept for "target", and
    Σ|W′·c′ − W′·c|² + |c′ − c|² for "surrogate".

    h: H = Σ WᵀW over all layers, which is all that is needed of them. r: the ridge, above 0.
    """

    h: Map
    regulariser: Regulariser
    r: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.r) and self.r > 0):
            raise BadArgument(f"ridge is {self.r}: give a number above 0.")

    def embedding(self, a: Map, c: Rows, target: Rows) -> Rows:
        """c′, a row for each of c; `target` has c*."""
        against = self.h @ a  # its rows times c are Σ W′ᵀW·c
        edited = a.T @ against  # Σ W′ᵀW′
        left, right = edited, c @ against
        if self.regulariser == "surrogate":
            left, right = (1 + self.r) * edited, right + self.r * (c @ edited)
        towards = {"zero": torch.zeros_like(c), "target": target, "surrogate": c}[self.regulariser]
        ridge = self.r * torch.eye(len(a), dtype=a.dtype)
        factor = cholesky(left + ridge, "ridge")
        return torch.cholesky_solve((right + self.r * towards).T, factor).T

    def recovered(self, a: Map, c: Rows, found: Rows) -> float:
        """1 − Σ|W′·c′ − W·c|² / Σ|W·c|², how much of the old answers the embedding brings back: 1 for all of them."""
        missed = found @ a.T - c
        return 1 - float(self._energy(missed) / self._energy(c))

    def _energy(self, rows: Rows) -> Tensor:
        """Σ|W·x|² over rows and layers."""
        return ((rows @ self.h) * rows).sum()


def answers(weights: Mapping[str, Shaped[Tensor, "_ width"]]) -> Map:
    """H = Σ WᵀW over layers that read the same states, by name, in fp64 on the CPU. Raises NotFinite, naming one."""
    total: Tensor | float = 0.0
    for name, weight in weights.items():
        w = weight.detach().to("cpu", torch.float64)
        if not torch.isfinite(w).all():
            raise NotFinite(f"{name} holds NaN or infinity: load the model again, or another one.")
        total = total + w.T @ w
    return torch.as_tensor(total)
