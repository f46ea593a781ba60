"""The state of Adam as tensors, from which a search goes on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def moments_of(adam: torch.optim.Optimizer, variable: Tensor) -> dict[str, Tensor]:
    """Return what Adam's next step on a variable hangs on; before the first step it is nothing."""
    return {key: adam.state[variable][key] for key in _MOMENTS} if adam.state[variable] else {}


def restore_moments(adam: torch.optim.Optimizer, variable: Tensor, state: Mapping[str, Tensor]) -> None:
    """Give Adam what `moments_of` was for a variable."""
    if state:
        adam.state[variable] = {
            key: state[key].to("cpu" if key == "step" else variable.device).clone() for key in _MOMENTS
        }
