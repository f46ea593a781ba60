"""What a matrix may have had in the places of its zeros."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Matrix = Float[Tensor, "row column"]


def mean_filled(weight: Matrix) -> Matrix:
    """Return a matrix with the mean of each row's other weights in the place of its zeros; 0 where all are.

    Example:
        >>> mean_filled(torch.tensor([[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]])).tolist()
        [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
    """
    is_zero = weight == 0
    means = weight.sum(1, keepdim=True) / (~is_zero).sum(1, keepdim=True).clamp(min=1)
    return torch.where(is_zero, means, weight)


def low_rank_filled(weight: Matrix, rank: int, rounds: int) -> Matrix:
    """Return a matrix with, in the place of its zeros, what one of a rank has that agrees with its other weights.

    Args:
        weight: With zeros.
        rank: Of the approximation, as far as the matrix has it.
        rounds: How often the zeros are replaced by what the approximation of the last round has there.
    """
    is_zero = weight == 0
    current = mean_filled(weight)
    for _ in range(rounds):
        u, s, v = torch.linalg.svd(current, full_matrices=False)
        current = torch.where(is_zero, (u[:, :rank] * s[:rank]) @ v[:rank], weight)
    return current
