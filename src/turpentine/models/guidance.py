"""How the predictions of a step become the one that the solver is given: the seam where a Guidance plugs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from turpentine.models.conditioning import Conditioning

Latents = Float[Tensor, "batch channel height width"]


@runtime_checkable
class Combination(Protocol):
    """One run of one batch; may keep a state from step to step.

    extra: further rows to predict in the same call of the denoiser, a row for each picture, or None.
    """

    extra: Conditioning | None

    def __call__(self, index: int, uncond: Latents, cond: Latents, extra: Latents | None) -> Latents:
        """ε for the solver at step `index` (from 0), from ε(x,∅), ε(x,c) and the predictions of the extra rows."""
        ...


@runtime_checkable
class Guidance(Protocol):
    """A change that lives at inference. One value serves many runs: what a run remembers is in its `Combination`."""

    def start(self, model: Any, rows: int, guidance_scale: float) -> Combination:
        """Begin a run of `rows` pictures on a `Model`."""
        ...


class ClassifierFree:
    """ε_∅ + w·(ε_c − ε_∅) (Ho and Salimans 2022): what a sampler does when no guidance is given."""

    def start(self, model: Any, rows: int, guidance_scale: float) -> Combination:
        """It has no state and no extra rows."""
        return _ClassifierFree(guidance_scale)


@dataclass
class _ClassifierFree:
    guidance_scale: float
    extra: Conditioning | None = None

    def __call__(self, index: int, uncond: Latents, cond: Latents, extra: Latents | None) -> Latents:
        return uncond + self.guidance_scale * (cond - uncond)
