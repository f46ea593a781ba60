"""What attacks that learn share: examples that hang on the seed and the update alone, stages, and Adam's state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

Latents = Float[Tensor, "batch channel height width"]


def stage_end(updates: int, stages: int, done: int) -> int:
    """Return after how many updates the next of so many stages ends.

    Example:
        >>> [stage_end(10, 3, done) for done in (0, 3, 9)]
        [3, 7, 10]
    """
    ends = [round(updates * number / stages) for number in range(1, stages + 1)]
    return next(end for end in ends if end > done)


def example_of(
    x0: Float[Tensor, "picture channel height width"],
    batch: int,
    training_steps: int,
    seed: int,
    update: int,
    times: int | None = None,
) -> tuple[Int[Tensor, " batch"], Latents, Int[Tensor, " batch"]]:
    """Return which pictures, what noise and which timesteps an update takes; they hang on the seed and its number.

    Args:
        x0: All pictures.
        batch: Rows of an update.
        training_steps: Of the schedule.
        seed: Of all chance.
        update: Its number.
        times: How many timesteps are drawn, for all rows together; by default one for each.
    """
    dice = torch.Generator().manual_seed(seed * 1_000_003 + update)
    rows = torch.randint(len(x0), (batch,), generator=dice).to(x0.device)
    noise = torch.randn((batch, *x0.shape[1:]), generator=dice).to(x0.device)
    t = torch.randint(training_steps, (times or batch,), generator=dice).expand(batch).to(x0.device)
    return rows, noise, t


_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def adam_state(adam: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return learned tensors and what their next step of Adam hangs on, by name."""
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        own = adam.state[tensor]
        state |= {f"{name}.value": tensor.detach(), **{f"{name}.{key}": own[key] for key in _MOMENTS if key in own}}
    return state


@torch.no_grad()
def restore_adam(adam: torch.optim.Optimizer, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Go on from what `adam_state` returned, bit by bit."""
    for name, tensor in tensors.items():
        tensor.copy_(state[f"{name}.value"])
        own = {key: state[f"{name}.{key}"] for key in _MOMENTS if f"{name}.{key}" in state}
        if own:
            at = {key: "cpu" if key == "step" else tensor.device for key in own}
            adam.state[tensor] = {key: each.to(at[key]).clone() for key, each in own.items()}
