"""What attacks share that look for tokens by gradients: the slope of a choice among a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def one_hot_slope(slopes: Sequence[Tensor], tables: Sequence[Tensor]) -> Float[Tensor, "token vocabulary"]:
    """Return the gradient of one-hot choices from those of the vectors chosen, summed over text encoders.

    Args:
        slopes: ∂loss/∂e, a row for each token, by text encoder.
        tables: The vectors that can be chosen, by text encoder.
    """
    first = slopes[0].device
    parts = [(slope.float() @ table.T).to(first) for slope, table in zip(slopes, tables, strict=True)]
    return torch.stack(parts).sum(0)
