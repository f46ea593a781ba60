"""The embedding with which edited layers give their old outputs, in closed form (Gong et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

from turpentine.core.errors import NotFinite
from turpentine.core.settings import Positive, Settings
from turpentine.erase._closed_form.linear import Map, Rows, cholesky

Regulariser = Literal["zero", "target", "surrogate", "surrogate-layers", "surrogate-state"]


@dataclass(frozen=True, eq=False)
class Adversary(Settings):
    """Find the c′ that minimises Σ|W′·c′ − W·c|² + r·R(c′) over all layers W, edited to W′ = W·A, for each state c.

    Args:
        h: H = Σ WᵀW over all layers, which is all that is needed of them; see `weights_gram`.
        regulariser: R(c′): |c′|² for "zero"; |c′ − g|² with g the concept's target for "target";
            Σ|W′·c′ − W′·c|² + |c′ − c|² for "surrogate", its first term alone for "surrogate-layers", its second for
            "surrogate-state".
        r: The ridge, above 0.

    Raises:
        BadArgument: The ridge is not above 0.
    """

    h: Map
    regulariser: Regulariser
    r: Positive

    def embedding(self, a: Map, c: Rows, targets: Rows) -> Rows:
        """Return c′, a row for each state.

        Args:
            a: A, the map that the edit applies to what the layers read.
            c: States of the concept, one a row.
            targets: g of each state.
        """
        against = self.h @ a  # its rows times c are Σ W′ᵀW·c
        edited = a.T @ against  # Σ W′ᵀW′
        left, right = edited, c @ against
        if self.regulariser in ("surrogate", "surrogate-layers"):
            left, right = (1 + self.r) * edited, right + self.r * (c @ edited)
        if self.regulariser != "surrogate-layers":
            towards = {"zero": torch.zeros_like(c), "target": targets}.get(self.regulariser, c)
            left, right = left + self.r * torch.eye(len(a), dtype=a.dtype), right + self.r * towards
        return torch.cholesky_solve(right.T, cholesky(left, "ridge")).T

    def recovered(self, a: Map, c: Rows, embedding: Rows) -> float:
        """Return 1 − Σ|W′·c′ − W·c|² / Σ|W·c|², the share of the old outputs that the embedding c′ recovers."""
        residual = embedding @ a.T - c
        return 1 - float(self._energy(residual) / self._energy(c))

    def _energy(self, rows: Rows) -> Tensor:
        """Return Σ|W·x|² over rows and layers."""
        return ((rows @ self.h) * rows).sum()


def weights_gram(weights: Mapping[str, Shaped[Tensor, "_ width"]]) -> Map:
    """Return H = Σ WᵀW over layers that read the same states, in fp64 on the CPU.

    Args:
        weights: The layers' weights, by name.

    Raises:
        NotFinite: A weight holds NaN or infinity; the message names it.
    """
    total: Tensor | float = 0.0
    for name, weight in weights.items():
        w = weight.detach().to("cpu", torch.float64)
        if not torch.isfinite(w).all():
            raise NotFinite(f"{name} holds NaN or infinity: load the model again, or another one.")
        total = total + w.T @ w
    return torch.as_tensor(total)
