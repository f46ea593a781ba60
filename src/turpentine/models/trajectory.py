"""One guided sampling run, stored: what many methods would else sample again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from turpentine.core.progress import Progress
from turpentine.core.sealed import read_sealed, write_sealed
from turpentine.models.generate import batches, pair
from turpentine.models.guidance import ClassifierFree
from turpentine.models.model import Model
from turpentine.models.sampler import Step, sample

_KIND = "trajectory"
_TENSORS = ("timesteps", "x", "eps_cond", "eps_uncond", "latents")

Rows = Float[Tensor, "pair channel height width"]
Run = Float[Tensor, "step row channel height width"]


class Points(NamedTuple):
    """Points of a trajectory: x_t, its timestep, and both predictions there."""

    x: Rows
    t: Shaped[Tensor, " pair"]
    eps_cond: Rows
    eps_uncond: Rows


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A guided sampling run of n rows over T steps.

    Args:
        prompts: Of each row.
        seeds: Of each row.
        timesteps: Of each step, from noise to picture.
        x: x_t before each step, α(t)·x₀ + σ(t)·ε.
        eps_cond: ε(x_t, c) at each step; of a flow model the velocity, as `Model.followed` has it.
        eps_uncond: ε(x_t, ∅) at each step, likewise.
        latents: What came out.

    Example:
        >>> import turpentine as tp
        >>> run = tp.Trajectory.record(tp.load(), "a church", seeds=[0, 1], steps=2, guidance_scale=4.0)
        >>> run.x.shape
        torch.Size([2, 2, 4, 8, 8])
        >>> run.at(steps=[0, 1], rows=[0, 1]).t
        tensor([501,   1])
    """

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    timesteps: Shaped[Tensor, " step"]
    x: Run
    eps_cond: Run
    eps_uncond: Run
    latents: Float[Tensor, "row channel height width"]

    def __len__(self) -> int:
        """Return the number of rows (prompts with seeds)."""
        return len(self.prompts)

    def at(self, steps: Int[Tensor, " pair"] | Sequence[int], rows: Int[Tensor, " pair"] | Sequence[int]) -> Points:
        """Return the points at pairs of a step's index and a row's index."""
        step, row = (torch.as_tensor(index, device=self.x.device) for index in (steps, rows))
        return Points(self.x[step, row], self.timesteps[step], self.eps_cond[step, row], self.eps_uncond[step, row])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to one sealed safetensors file, whole or not at all.

        Raises:
            OSError: As the file system does.
        """
        tensors = {name: getattr(self, name) for name in _TENSORS}
        write_sealed(path, tensors, {"prompts": self.prompts, "seeds": self.seeds}, _KIND)

    @staticmethod
    def load(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Trajectory:
        """Read what `save` wrote.

        Args:
            path: The file.
            device: Where the tensors go.

        Raises:
            EditError: The file is missing, damaged or of another kind; it is named.
        """
        tensors, rows = read_sealed(path, _KIND)
        placed = {name: tensors[name].to(device) for name in _TENSORS}
        return Trajectory(tuple(rows["prompts"]), tuple(rows["seeds"]), **placed)

    @staticmethod
    def record(
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int],
        *,
        steps: int,
        guidance_scale: float,
        batch_size: int = 8,
        solver: str = "ddim",
        progress: Progress | None = None,
    ) -> Trajectory:
        """Sample and keep every step: 2·T·n rows of the denoiser.

        Args:
            model: What is sampled; a guidance that is on it is not used.
            prompts: One goes with each seed; else as many as seeds.
            seeds: One goes with each prompt.
            steps: T.
            guidance_scale: w in ε_∅ + w·(ε_c − ε_∅).
            batch_size: Rows sampled together, at most.
            solver: "ddim", "dpm", "euler" or "ddpm".
            progress: Called with steps done and in all, counted by row.

        Raises:
            BadArgument: Lists of two lengths and settings out of range.
        """
        texts, numbers = pair(prompts, seeds)
        parts: list[list[Step]] = []
        for rows in batches(len(texts), batch_size):
            run: list[Step] = []
            for step in _run(model, texts[rows], numbers[rows], steps, guidance_scale, solver):
                run.append(step)
                if progress:
                    done = rows.start * steps + (rows.stop - rows.start) * (step.index + 1)
                    progress(done, len(texts) * steps)
            parts.append(run)
        return _joined(tuple(texts), tuple(numbers), parts)


def _run(model: Model, texts: list[str], seeds: list[int], steps: int, scale: float, solver: str) -> Iterator[Step]:
    return sample(
        model,
        model.encode(texts),
        model.encode([""]),
        model.noise(seeds),
        steps=steps,
        guidance_scale=scale,
        solver=solver,
        guidance=ClassifierFree(),  # unlike the default, it computes ε(x,∅) even where w = 1 has no use for it
    )


def _joined(prompts: tuple[str, ...], seeds: tuple[int, ...], parts: list[list[Step]]) -> Trajectory:
    def joined(name: str) -> Tensor:
        return torch.cat([torch.stack([getattr(step, name) for step in run]) for run in parts], dim=1)

    return Trajectory(
        prompts,
        seeds,
        torch.tensor([step.t for step in parts[0]], device=parts[0][0].x.device),
        joined("x"),
        joined("eps_cond"),
        joined("eps_uncond"),
        torch.cat([run[-1].x_next for run in parts]),
    )
