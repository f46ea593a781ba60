"""The solvers by name, without torch: command lines and benches read their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Solver = Literal["ddim", "dpm", "euler", "ddpm"]

SOLVERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    # A latent has no range to be clipped to, though DDIM and DDPM clip by default.
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "dpm": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "euler": ("EulerDiscreteScheduler", {}),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
}
"""The class of diffusers that each is, with what is set otherwise than the pipeline has it."""

MEMORYLESS = ("ddim",)
"""Solvers whose whole state is x_t."""

NOISY = ("ddpm",)
"""Solvers whose steps add fresh noise; a picture stays a function of weights, prompt, seed and settings."""
