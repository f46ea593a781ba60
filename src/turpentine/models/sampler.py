"""The one sampler loop, on diffusers schedulers, batched, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest_tensor
from turpentine.models.churn import NO_CHURN, Churn
from turpentine.models.conditioning import Conditioning
from turpentine.models.families.flow_solvers import check_betas, goes_by_betas
from turpentine.models.finite import Watch, check_scale, not_finite
from turpentine.models.guidance import guided_by, unguided
from turpentine.models.interface import Combination, Guidance, Latents, TextToImage
from turpentine.models.solvers import MEMORYLESS, NOISY
from turpentine.models.windows import Moment


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a sampling run.

    Args:
        index: From 0 (pure noise).
        t: The timestep, in the units that the model was trained on.
        x: x_t as the denoiser sees it, α(t)·x₀ + σ(t)·ε with every solver: `eps_cond = model.followed(x, t, cond)`,
            of a denoiser that computes guidance itself with the run's w in `cond`.
        eps_cond: ε(x_t, c); of a flow model the velocity, as `Model.followed` has it, and so the others.
        eps_uncond: ε(x_t, ∅), None where it was not needed.
        eps: What the solver took.
        x_next: The next step's `x`; after the last step the finished latents.
    """

    index: int
    t: int | float
    x: Latents
    eps_cond: Latents
    eps_uncond: Latents | None
    eps: Latents
    x_next: Latents


def sample(
    model: TextToImage,
    cond: Conditioning,
    uncond: Conditioning,
    latents: Latents,
    *,
    steps: int,
    guidance_scale: float,
    solver: str = "ddim",
    guidance: Guidance | None = None,
    first: int = 0,
    last: int | None = None,
    churn: Churn = NO_CHURN,
) -> Iterator[Step]:
    """Denoise latents, yielding each step; stop at any by leaving the loop.

    All rows of a step go through the denoiser in one call. ε(x_t, ∅) is not computed where it is not used: with
    guidance_scale 1 and no guidance.

    Args:
        model: What predicts.
        cond: A row for each latent.
        uncond: As many rows, or one for all.
        latents: Unit noise from `model.noise`.
        steps: Of the solver.
        guidance_scale: w in ε_∅ + w·(ε_c − ε_∅), which some denoisers compute themselves.
        solver: "ddim", "dpm", "euler", or "ddpm", the reverse step with fresh noise; see `step_noise`.
        guidance: By default the one on the model, and where none is, the formula above.
        first: The step to begin with, 0 by default; `latents` are its x_t then.
        last: The step to end before; by default there is none.
        churn: Fresh noise for each step of DDIM; none by default.

    Yields:
        Each step, with both predictions.

    Raises:
        NotFinite: The denoiser gives NaN or infinity; the message says in which step and in which module first.
        BadArgument: Settings out of range, and for a later first step with a solver that goes by more than x_t.
        UnsupportedModel: Churn in a flow model.
        UnknownName: A solver.

    Example:
        >>> cond, uncond, noise = model.encode(["a church"]), model.encode([""]), model.noise([0])
        >>> for step in sample(model, cond, uncond, noise, steps=2, guidance_scale=4.0):
        ...     print(step.index, step.t)
        0 501
        1 1
    """
    update = _SolverStep.of(model, solver, steps, latents, first, churn)
    rows, times = _Rows.of(model, cond, uncond, guidance_scale, guidance, steps), update.scheduler.timesteps
    (state, x), indices = update.start(latents), range(len(times))[first:last]
    watch = Watch(lambda at, seen: rows.complain(model, seen, at, times))
    for index in indices:
        step, state = _advance(model, rows, update, index, state, x)
        watch.add(index, x, step.eps)
        if index == indices[-1]:
            watch.finish()
        yield step
        x = step.x_next


def denoised(
    model: TextToImage,
    cond: Conditioning,
    uncond: Conditioning,
    latents: Latents,
    *,
    advance: Callable[[int], None] | None = None,
    **how: Any,
) -> Latents:
    """Return the finished latents of a run.

    Args:
        model: As for `sample`.
        cond: A row for each latent.
        uncond: As many rows, or one for all.
        latents: Unit noise.
        advance: Called with the steps done, counted by latent.
        how: The other arguments of `sample`.

    Raises:
        NotFinite: As `sample`, as whatever else is raised.
    """
    for step in sample(model, cond, uncond, latents, **how):
        latents = step.x_next
        if advance:
            advance(len(cond) * (step.index + 1))
    return latents


def step_noise(latents: Latents) -> list[torch.Generator]:
    """Return a generator for each row, for the fresh noise of its steps.

    Its seed is the first 64 bits of the SHA-256 of the row's starting latent, in fp32, so that a picture hangs on its
    seed and not on its batch, and pictures of one starting latent, such as of two prompts or of an edit and its base,
    are drawn with the same noise.

    Args:
        latents: Unit noise from `model.noise`.
    """
    seeds = [int(digest_tensor(row.float())[:16], 16) for row in latents]
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def rows_in_a_step(model: TextToImage, guidance_scale: float, steps: int) -> int:
    """Return the denoiser's rows for each latent in a step: its prompt's, that of ∅ where it is used, a guidance's."""
    rule = combination_of(model, model.guidance, 1, guidance_scale, steps)
    return 1 + int(rule.needs_uncond) + (len(rule.extra) if rule.extra is not None else 0)


def combination_of(
    model: TextToImage, guidance: Guidance | None, count: int, guidance_scale: float, steps: int
) -> Combination:
    """Return how a run combines its predictions.

    Args:
        model: What is sampled.
        guidance: What combines them; None for the plain formula, or for a denoiser that computes it itself.
        count: Pictures of the run.
        guidance_scale: How strongly the prompt guides (w).
        steps: Of the run.
    """
    return guidance.start(model, count, guidance_scale, steps) if guidance else unguided(model, guidance_scale)


def started(model: TextToImage, solver: str, steps: int, *, size: tuple[int, int] | None = None) -> Any:
    """Return a fresh scheduler with its timesteps set.

    Args:
        model: What is sampled.
        solver: Its name.
        steps: As many.
        size: Height and width of the latents, on which some schedulers' shift hangs; the native ones by default.

    Raises:
        BadArgument: The number of steps is out of range.
        UnsupportedModel: The solver's noise is not that of its timesteps, and the network is read by these.
        UnknownName: There is no solver of this name.
    """
    scheduler = model.schedule.solver(solver)
    if not 1 <= steps <= scheduler.config.num_train_timesteps:
        raise BadArgument(f"{steps} steps cannot be taken: give 1 to {scheduler.config.num_train_timesteps}.")
    model.schedule.set_steps(scheduler, steps, size or model.latent_shape()[1:])
    last = model.schedule.training_steps - 1
    if goes_by_betas(scheduler) and (scheduler.timesteps.max() > last or scheduler.timesteps.min() < 0):
        raise BadArgument(
            f"{steps} steps of this schedule begin at timestep {int(scheduler.timesteps.max())}, and the model was "
            f"trained on 0 to {last}: take fewer steps, or set its steps_offset to 0."
        )
    model.schedule.check(scheduler)
    return scheduler


# Not around the generator: gradients must be as the caller has them wherever it is left.
@torch.no_grad()
def _advance(
    model: TextToImage, rows: _Rows, update: _SolverStep, index: int, state: Latents, x: Latents
) -> tuple[Step, Latents]:
    """Return one step, and the solver's own state after it, which for Euler is scaled otherwise than x_t."""
    scheduler = update.scheduler
    times = scheduler.timesteps
    eps_uncond, eps_cond, eps = rows.predict(model, x, times[index], index, len(times))
    state = update(eps, times[index], state)
    x_next = scheduler.scale_model_input(state, times[index + 1]) if index + 1 < len(times) else state
    return Step(index, times[index].item(), x, eps_cond, eps_uncond, eps, x_next), state


@dataclass(frozen=True)
class _SolverStep:
    """The solver's step from x_t to x_{t−1}, with the fresh noise that it takes."""

    scheduler: Any
    churn: Churn
    noise: list[torch.Generator] | None

    @staticmethod
    def of(model: TextToImage, solver: str, steps: int, latents: Latents, first: int, churn: Churn) -> _SolverStep:
        """Return the steps of a solver that can begin at `first` and take what fresh noise there is."""
        scheduler = started(model, solver, steps, size=(latents.shape[2], latents.shape[3]))
        if first and solver not in MEMORYLESS:
            raise BadArgument(f"{solver} cannot begin at step {first}: only {', '.join(MEMORYLESS)} can.")
        churn.check(solver)
        if churn:
            check_betas(scheduler, "Noise of η in DDIM's steps")
        return _SolverStep(scheduler, churn, step_noise(latents) if churn or solver in NOISY else None)

    def start(self, latents: Latents) -> tuple[Latents, Latents]:
        """Return the solver's state at its first step, and x_t as the denoiser sees it."""
        state = latents * self.scheduler.init_noise_sigma
        return state, self.scheduler.scale_model_input(state, self.scheduler.timesteps[0])

    def __call__(self, eps: Latents, t: Tensor, state: Latents) -> Latents:
        if self.churn:
            assert self.noise is not None
            return self.churn.step(self.scheduler, eps, t, state, self.noise)
        fresh = {"generator": self.noise} if self.noise is not None else {}
        after: Latents = self.scheduler.step(eps, t, state, return_dict=False, **fresh)[0]
        return after


@dataclass
class _Rows:
    """The rows of each denoiser call: ∅ (unless not needed), the prompts, and what the guidance adds."""

    batch: Conditioning
    count: int
    combination: Combination

    @staticmethod
    def of(
        model: TextToImage,
        cond: Conditioning,
        uncond: Conditioning,
        guidance_scale: float,
        guidance: Guidance | None,
        steps: int,
    ) -> _Rows:
        check_scale(guidance_scale)
        count = len(cond)
        combination = combination_of(model, guidance or model.guidance, count, guidance_scale, steps)
        empty = uncond.repeat(count) if len(uncond) == 1 else uncond
        groups = [empty, cond] if combination.needs_uncond else [cond]
        groups += [combination.extra.sized_as(cond)] if combination.extra is not None else []
        return _Rows(guided_by(model, Conditioning.cat(groups), combination), count, combination)

    def predict(
        self, model: TextToImage, x: Latents, t: Tensor, index: int, steps: int
    ) -> tuple[Latents | None, Latents, Latents]:
        """Return ε(x,∅), ε(x,c) and their combination."""
        first = self.count if self.combination.needs_uncond else 0
        model.moment = Moment(index, steps, slice(first, first + self.count), self._guiding(first))
        try:
            eps = model.followed(x.repeat(len(self.batch) // self.count, 1, 1, 1), t, self.batch)
        finally:
            model.moment = None
        uncond, cond, extra = eps[:first], eps[first : first + self.count], eps[first + self.count :]
        used = uncond if first else None
        return used, cond, self.combination(index, used, cond, extra if len(extra) else None)

    def complain(self, model: TextToImage, x: Latents, index: int, times: Tensor) -> None:
        """Raise the error for a step that gave NaN or infinity."""
        what = f"The denoiser gives NaN or infinity in step {index + 1} of {len(times)}"
        raise not_finite(what, model.components, lambda: self.predict(model, x, times[index], index, len(times)))

    def _guiding(self, first: int) -> tuple[slice, ...]:
        """Return the slices of all rows but the prompts', which begin at `first`."""
        starts = range(0, len(self.batch), self.count)
        return tuple(slice(start, start + self.count) for start in starts if start != first)
