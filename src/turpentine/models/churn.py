"""DDIM steps that add more fresh noise than the schedule has room for, as probes of erased models take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.models.solvers import MEMORYLESS

State = Float[Tensor, "batch channel height width"]


@dataclass(frozen=True)
class Churn:
    """Fresh noise in each step of DDIM (Song et al. 2021, arXiv 2010.02502, eq. 12, with any η).

    x′ = √ᾱ′·x̂₀ + √max(0, 1 − ᾱ′ − σ²)·ε + s·σ·z, where σ = η·√((1 − ᾱ′)/(1 − ᾱ)·(1 − ᾱ/ᾱ′)) and z is unit noise. η = 0
    is DDIM, η = 1 and s = 1 DDPM; over that the noise is more than the timestep says.

    Args:
        eta: η.
        noise_scale: s.

    Raises:
        BadArgument: A number is negative.
    """

    eta: float = 0.0
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.eta < 0 or self.noise_scale < 0:
            raise BadArgument(
                f"Noise of η {self.eta:g} × {self.noise_scale:g} cannot be added: give 0 or more of each."
            )

    def __bool__(self) -> bool:
        return self.eta > 0

    def check(self, solver: str) -> None:
        """Check that a solver can take it.

        Raises:
            BadArgument: It is not DDIM.
        """
        if self and solver not in MEMORYLESS:
            raise BadArgument(f"{solver} takes no noise of η {self.eta:g}: only {', '.join(MEMORYLESS)} does.")

    def step(self, scheduler: Any, eps: State, t: Tensor, state: State, noise: Sequence[torch.Generator]) -> State:
        """Return the state after a step of diffusers' DDIM scheduler."""
        x0 = scheduler.step(eps, t, state, return_dict=False)[1]
        before = t - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
        table = scheduler.alphas_cumprod
        now, then = table[t], table[before] if before >= 0 else scheduler.final_alpha_cumprod
        variance = self.eta**2 * (1 - then) / (1 - now) * (1 - now / then)
        rest = (1 - then - variance).clamp(min=0).sqrt()
        fresh = torch.stack([torch.randn(eps.shape[1:], generator=each) for each in noise]).to(eps)
        result: State = then.sqrt() * x0 + rest * eps + self.noise_scale * variance.sqrt() * fresh
        return result


NO_CHURN = Churn()
