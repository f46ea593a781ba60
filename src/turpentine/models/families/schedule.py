"""The schedule of noise: solvers, ᾱ at any timestep, and windows of steps as fractions of the schedule."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.core.errors import UnknownName

# The deterministic solvers only: a picture is a function of weights, prompt, seed and settings.
SOLVERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    # A latent has no range to be clipped to, though DDIM clips by default.
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "dpm": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "euler": (EulerDiscreteScheduler, {}),
}

# Models trained to zero signal at the last step have ᾱ = 0 there, where ε says nothing of x₀; diffusers' own solvers
# lift it to this value.
SMALLEST_ALPHA_BAR = 2.0**-24


def make_scheduler(trained: Any, solver: str) -> Any:
    """A fresh diffusers scheduler with the trained schedule of betas, for ε-prediction. Raises UnknownName."""
    if solver not in SOLVERS:
        raise UnknownName(f"No solver is called {solver!r}: there are {', '.join(SOLVERS)}.")
    kind, settings = SOLVERS[solver]
    scheduler = kind.from_config(trained.config, prediction_type="epsilon", **settings)
    scheduler.alphas_cumprod.clamp_(min=SMALLEST_ALPHA_BAR)
    return scheduler


def alpha_bar_at(table: Float[Tensor, " train"], t: Shaped[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
    """ᾱ at timesteps `t`, 0 to the table's length − 1.

    Between two whole timesteps σ = √((1−ᾱ)/ᾱ) is linear, as in diffusers' Euler solver, which asks for such times.
    """
    low = t.long().clamp(0, len(table) - 1)
    if not t.is_floating_point():
        return table[low]
    sigmas = ((1 - table) / table).sqrt()
    sigma = torch.lerp(sigmas[low], sigmas[(low + 1).clamp(max=len(table) - 1)], (t - low).to(sigmas.dtype))
    return 1 / (1 + sigma**2)
