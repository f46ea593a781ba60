"""What an update learns from, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from turpentine.models import Conditioning

Latents = Float[Tensor, "batch channel height width"]
Predictions = Float[Tensor, "*rows channel height width"]
Target = Callable[[Predictions, Predictions, Predictions], Predictions]
"""ε̃ from ε*(x, start), ε*(x, c) and ε*(x, ∅)."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What one update learns from: at x_t and t, told `cond`, predict `target`."""

    x: Latents
    t: Int[Tensor, " batch"]
    cond: Conditioning
    target: Latents


@dataclass(frozen=True)
class Lesson:
    """What is to be unlearnt, a row for each prompt.

    prompts: c, from which the target points away.
    taught: the prompts that the model is trained on and its states are sampled for; `prompts` themselves, unless an
        attribute is to be erased from something.
    target: the equation of ε̃; its start is ∅'s prediction, or the taught prompt's if `is_from`.
    is_from: is an attribute to be erased from something, the taught prompts?
    """

    prompts: tuple[str, ...]
    taught: tuple[str, ...]
    target: Target
    is_from: bool = False

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, rows: slice) -> Lesson:
        return Lesson(self.prompts[rows], self.taught[rows], self.target, self.is_from)


@dataclass(frozen=True)
class Sampling:
    """How states are sampled.

    steps: of DDIM. window: the indices of those that count. seed: of all draws.
    """

    steps: int
    guidance_scale: float
    window: range
    seed: int
