"""J: one number that says how well a model shows a concept, as a mean over points of its trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from turpentine.models.conditioning import Conditioning
from turpentine.models.generate import batches
from turpentine.models.guidance import guided
from turpentine.models.model import Model
from turpentine.models.trajectory import Trajectory

Latents = Float[Tensor, "point channel height width"]


@dataclass(frozen=True, eq=False)
class Objective:
    """J = ± the mean over points of ‖target − ε(x_t, c)‖², the squares summed over channels and pixels.

    Args:
        x: x_t of each point.
        t: The timestep of each point.
        target: What the prediction is compared with, for each point; a constant for gradients.
        cond: Prompts, encoded.
        row: Which row of `cond` each point is predicted for.
        sign: 1 or −1.
        is_in_output: Whether the difference is that of the network's own outputs, which are v in some models, not of ε.
    """

    x: Latents
    t: Shaped[Tensor, " point"]
    target: Latents
    cond: Conditioning
    row: Int[Tensor, " point"]
    sign: float = 1.0
    is_in_output: bool = False

    def __len__(self) -> int:
        """Return the number of points; each is a row of the denoiser."""
        return len(self.x)

    def __getitem__(self, points: slice | Sequence[int]) -> Objective:
        """Return the objective over some of the points."""
        x, t, target, row = (each[points] for each in (self.x, self.t, self.target, self.row))
        return Objective(x, t, target, self.cond, row, self.sign, self.is_in_output)

    def terms(self, model: Model, parameters: Mapping[str, Tensor] | None = None) -> Float[Tensor, " point"]:
        """Return the points' terms of J in fp32, in one call of the denoiser; `parameters` as in `Model.eps`."""
        predicted = model.followed(self.x, self.t, self.cond[self.row], parameters=parameters)
        apart = model.rescaled(
            self.target.float() - predicted.float(), self.t, "output" if self.is_in_output else "eps"
        )
        return self.sign * apart.square().flatten(1).sum(1)

    @torch.no_grad()
    def value(self, model: Model, parameters: Mapping[str, Tensor] | None = None, *, batch_size: int = 8) -> float:
        """Return J, with `parameters` in the place of the denoiser's weights of those names."""
        sums = [self[rows].terms(model, parameters).double().sum() for rows in batches(len(self), batch_size)]
        return float(torch.stack(sums).sum()) / len(self)

    @staticmethod
    def apart(
        model: Model,
        run: Trajectory,
        *,
        base: str = "",
        steps: range | None = None,
        is_in_output: bool = False,
        guidance_scale: float = 1.0,
    ) -> Objective:
        """Return J = E‖sg ε(x_t, c_b) − ε(x_t, c)‖²: how far a run's prompts are from a base prompt c_b.

        Equation 4 of CAD (Nguyen et al. 2024, arXiv 2412.02542). For c_b = "" the run holds the target already; for
        another it takes as many rows of the denoiser as there are points.

        Args:
            model: The model.
            run: Of the prompts.
            base: c_b.
            steps: The indices of the run's steps that count; all by default.
            is_in_output: See the class.
            guidance_scale: That of the run, which a denoiser reads that computes guidance itself.
        """
        counted = slice(steps.start, steps.stop) if steps is not None else slice(None)
        times, x, uncond = (each[counted] for each in (run.timesteps, run.x, run.eps_uncond))
        target = (
            uncond if base == "" else _predict(model, x, times, guided(model, model.encode([base]), guidance_scale))
        )
        return Objective(
            x.flatten(0, 1),
            times.repeat_interleave(len(run)),
            target.flatten(0, 1),
            guided(model, model.encode(run.prompts), guidance_scale),
            torch.arange(len(run), device=x.device).repeat(len(times)),
            is_in_output=is_in_output,
        )

    @staticmethod
    def denoising(model: Model, latents: Latents, prompts: Sequence[str], seeds: Sequence[int]) -> Objective:
        """Return J = −E‖ε − ε(x_t, c)‖²: how well the model, given the concept, denoises pictures of it.

        Equation 5 of CAD. Each seed gives every picture a point: noise of its own, at a timestep of its own; the
        timesteps are spread evenly over the schedule.

        Args:
            model: The model.
            latents: Of pictures, scaled as the denoiser takes them.
            prompts: One for each picture.
            seeds: Of the noise, one for each timestep.
        """
        times = _spread(model.schedule.training_steps, len(seeds)).to(latents.device)
        noise = torch.stack([_noise(seed, latents) for seed in seeds]).flatten(0, 1)
        t = times.repeat_interleave(len(latents))
        pictures = latents.repeat(len(seeds), 1, 1, 1)
        x = model.schedule.add_noise(pictures, noise, t)
        row = torch.arange(len(latents), device=latents.device).repeat(len(seeds))
        return Objective(x, t, model.perfect(pictures, noise, t), model.encode(prompts), row, sign=-1.0)


@torch.no_grad()
def _predict(
    model: Model, x: Float[Tensor, "step row channel height width"], times: Shaped[Tensor, " step"], cond: Conditioning
) -> Float[Tensor, "step row channel height width"]:
    cond = cond.repeat(x.shape[1])
    return torch.stack([model.followed(one, t, cond) for one, t in zip(x, times, strict=True)])


def _spread(train_steps: int, count: int) -> Int[Tensor, " count"]:
    """Return the middles of equal parts of the training schedule."""
    return ((torch.arange(count) + 0.5) * train_steps / count).long()


def _noise(seed: int, latents: Latents) -> Latents:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(latents.shape, generator=generator).to(latents)
