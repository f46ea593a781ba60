"""The closed-form solver: one solution in fp64 for all linear layers that read the same states."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.settings import NonNegative, Positive, Settings

Rows = Float[Tensor, "_ width"]
"""States that layers read, one a row, in fp64 on the CPU."""
Map = Float[Tensor, "width width"]
"""A linear map from states to states."""


@dataclass(frozen=True)
class Scales(Settings):
    """The weights λ, a and b of the three terms of `solve`.

    Args:
        lamb: λ, of staying near the original weight, above 0.
        erase: a, of the targets, above 0.
        preserve: b, of the preserved states, 0 or more.

    Raises:
        BadArgument: A weight is out of its range.
    """

    lamb: Positive
    erase: Positive = 1.0
    preserve: NonNegative = 1.0


@dataclass(frozen=True, eq=False)
class Shift:
    """ΔW = W₀·D for every layer W₀ that reads the same states: its output for x becomes that for (I + D)·x.

    Args:
        factors: Matrices whose product, from left to right, is D.
    """

    factors: tuple[Float[Tensor, "_ _"], ...]

    @cached_property
    def matrix(self) -> Map:
        """D."""
        return reduce(torch.matmul, self.factors)

    @property
    def input_map(self) -> Map:
        """I + D, the map applied to every state that a layer reads."""
        return torch.eye(len(self.matrix), dtype=self.matrix.dtype) + self.matrix

    def delta(self, weight: Shaped[Tensor, "out width"]) -> Float[Tensor, "out width"]:
        """Return ΔW of a layer in fp64 on the CPU."""
        return reduce(torch.matmul, self.factors, weight.detach().to("cpu", torch.float64))


def gram(blocks: Iterable[Rows]) -> Map | None:
    """Return Σ p·pᵀ over the rows of all blocks, one block in memory at a time; None if there is no block."""
    total = None
    for rows in blocks:
        products = rows.T @ rows
        total = products if total is None else total.add_(products)
    return total


def solve(keys: Rows, targets: Rows, preserved: Map | None = None, *, scales: Scales) -> Shift:
    """Make layers map each key to what they mapped its target to, and preserved states to what they did before.

    For every layer W₀ this is the W that minimises a·Σ|W·k − W₀·g|² + b·Σ|W·p − W₀·p|² + λ·|W − W₀|². In terms of ΔW it
    is ΔW·M = a·Σ (W₀·g − W₀·k)·kᵀ with M = λI + a·Σ k·kᵀ + b·Σ p·pᵀ (Gandikota et al. 2024, equation 7). M is the same
    for all layers and is factorised once; a layer then costs two thin products. A layer's bias is in both outputs alike
    and drops out.

    Args:
        keys: k, one a row.
        targets: g, one a row; row i is the target of key i.
        preserved: Σ p·pᵀ over the states to preserve; see `gram`.
        scales: λ, a and b.

    Raises:
        BadArgument: λ is too small beside the other terms for double precision.

    Example:
        >>> keys = torch.eye(2, 4, dtype=torch.float64)
        >>> shift = solve(keys, keys.flip(0), scales=Scales(lamb=1e-9))
        >>> weight = torch.arange(8.0).reshape(2, 4)
        >>> (weight + shift.delta(weight)).round().tolist()
        [[1.0, 0.0, 2.0, 3.0], [5.0, 4.0, 6.0, 7.0]]
    """
    pull = scales.erase * torch.cholesky_solve(keys.T, _cholesky_of_m(keys, preserved, scales)).T
    thin = ((targets - keys).T, pull)
    rows, width = keys.shape
    # Through n rows a layer costs 2·n products for each of its weights, through their product as many as it is wide.
    return Shift(thin if 2 * rows < width else (thin[0] @ thin[1],))


def _cholesky_of_m(keys: Rows, preserved: Map | None, scales: Scales) -> Map:
    """Return the Cholesky factor of M."""
    m = scales.erase * (keys.T @ keys)
    if preserved is not None:
        m += scales.preserve * preserved
    m.diagonal().add_(scales.lamb)
    return cholesky(m, "lamb")


def cholesky(m: Map, ridge: str) -> Map:
    """Return the Cholesky factor of a matrix that a ridge makes positive definite.

    Args:
        m: The matrix, with the ridge added to its diagonal.
        ridge: Name of the setting that holds the ridge, for the message.

    Raises:
        BadArgument: The matrix is not positive definite.
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(m)
    if failed:
        raise BadArgument(f"The closed form has no solution: {ridge} is too small beside the rest; give a larger one.")
    return factor
