"""ᾱ at timesteps: the share of the picture in the variance of x_t, on a schedule of betas."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

# Models trained to zero signal at the last step have ᾱ = 0 there, where ε says nothing of x₀; diffusers' own solvers
# lift it to this value.
SMALLEST_ALPHA_BAR = 2.0**-24


def alpha_bar_at(
    table: Float[Tensor, " train"], t: Shaped[Tensor, "*rows"], *, logarithmic: bool = False
) -> Float[Tensor, "*rows"]:
    """Return ᾱ at timesteps `t`, 0 to the table's length − 1.

    Between two whole timesteps σ = √((1−ᾱ)/ᾱ) is linear, or its logarithm is, as in diffusers' Euler solver, which asks
    for such times.
    """
    low = t.long().clamp(0, len(table) - 1)
    if not t.is_floating_point():
        return table[low]
    sigmas = ((1 - table) / table).sqrt()
    levels = sigmas.log() if logarithmic else sigmas
    level = torch.lerp(levels[low], levels[(low + 1).clamp(max=len(table) - 1)], (t - low).to(levels.dtype))
    return 1 / (1 + (level.exp() if logarithmic else level) ** 2)


def lifted(alpha_bar: Float[Tensor, " train"]) -> Float[Tensor, " train"]:
    """Return a table without zeros, as diffusers' own solvers have it; they leave smaller numbers as they are."""
    return torch.where(alpha_bar == 0, SMALLEST_ALPHA_BAR, alpha_bar)


def are_apart(own: Tensor, other: Tensor) -> bool:
    """Return whether two tables differ by more than rounding."""
    return not torch.allclose(own, other, rtol=1e-4, atol=1e-7, equal_nan=True)
