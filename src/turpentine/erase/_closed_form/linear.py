"""The closed form: one solution for all linear layers that read the same states, in double precision."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.core.errors import BadArgument

Rows = Float[Tensor, "_ width"]
"""States that layers read, a row each and any number, in fp64 on the CPU."""
Map = Float[Tensor, "width width"]
"""A linear map from states to states."""


@dataclass(frozen=True)
class Scales:
    """What the parts of the closed form weigh: λ, a and b of `solve`.

    Raises BadArgument where the first two are not above 0, or the third is below it.
    """

    lamb: float
    erase: float = 1.0
    preserve: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("lamb", self.lamb), ("erase_scale", self.erase)):
            if not (math.isfinite(value) and value > 0):
                raise BadArgument(f"{name} is {value}: give a number above 0.")
        if not (math.isfinite(self.preserve) and self.preserve >= 0):
            raise BadArgument(f"preserve_scale is {self.preserve}: give 0 or more.")


@dataclass(frozen=True, eq=False)
class Shift:
    """ΔW = W₀·D for every layer W₀ that reads the same states: it then answers x as it answered (I + D)·x.

    factors: matrices whose product, from left to right, is D.
    """

    factors: tuple[Float[Tensor, "_ _"], ...]

    @cached_property
    def matrix(self) -> Map:
        """D."""
        return reduce(torch.matmul, self.factors)

    @property
    def read(self) -> Map:
        """I + D, what is done to all that a layer reads."""
        return torch.eye(len(self.matrix), dtype=self.matrix.dtype) + self.matrix

    def change(self, weight: Shaped[Tensor, "out width"]) -> Float[Tensor, "out width"]:
        """ΔW in fp64 on the CPU."""
        return reduce(torch.matmul, self.factors, weight.detach().to("cpu", torch.float64))


def gram(blocks: Iterable[Rows]) -> Map | None:
    """Σ p·pᵀ over the rows of all blocks, which are not held together; None for no block."""
    total = None
    for rows in blocks:
        products = rows.T @ rows
        total = products if total is None else total.add_(products)
    return total


def solve(keys: Rows, guides: Rows, kept: Map | None = None, *, scales: Scales) -> Shift:
    """Make layers answer each key as they answered its guide, and what is kept as before.

    For every layer W₀ this is the W that minimises a·Σ|W·k − W₀·g|² + b·Σ|W·p − W₀·p|² + λ·|W − W₀|². Written as a
    change it is ΔW·M = a·Σ (W₀·g − W₀·k)·kᵀ with M = λI + a·Σ k·kᵀ + b·Σ p·pᵀ (Gandikota et al. 2024, equation 7).
    M is the same for all layers, and is factorised once; a layer costs two thin products. A layer's bias is in both of
    its answers alike, and drops out.

    keys, guides: k and g, row by row. kept: Σ p·pᵀ, see `gram`.
    Raises BadArgument where λ is too small beside the rest for double precision.
    """
    pull = scales.erase * torch.cholesky_solve(keys.T, _factorised(keys, kept, scales)).T
    thin = ((guides - keys).T, pull)
    rows, width = keys.shape
    # Through n rows a layer costs 2·n products for each of its weights, through their product as many as it is wide.
    return Shift(thin if 2 * rows < width else (thin[0] @ thin[1],))


def _factorised(keys: Rows, kept: Map | None, scales: Scales) -> Map:
    """The Cholesky factor of M."""
    m = scales.erase * (keys.T @ keys)
    if kept is not None:
        m += scales.preserve * kept
    m.diagonal().add_(scales.lamb)
    return cholesky(m, "lamb")


def cholesky(m: Map, ridge: str) -> Map:
    """The factor of a matrix that a ridge makes positive definite. Raises BadArgument, naming the ridge, if not."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(m)
    if failed:
        raise BadArgument(f"The closed form has no solution: {ridge} is too small beside the rest; give a larger one.")
    return factor
