"""The states that an update learns from: stored trajectories of the frozen model, or fresh ones of the trained one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.core.errors import NotFinite
from turpentine.core.parts import Parts, Tensors
from turpentine.core.progress import Progress
from turpentine.erase._training.draws import draws, noise_seeds
from turpentine.erase._training.training import Trained, substituted
from turpentine.models import Blend, Conditioning, Model, Trajectory, sample
from turpentine.models.generate import batches
from turpentine.models.guidance import guided
from turpentine.models.row_memory import GUIDED, pictures_that_fit

Latents = Float[Tensor, "batch channel height width"]
Predictions = Float[Tensor, "*rows channel height width"]
Target = Callable[[Predictions, Predictions, Predictions], Predictions]
"""ε̃ from ε*(x, start), ε*(x, c) and ε*(x, ∅)."""

RECORDED_AT_ONCE = 8
"""Trajectories of a part; as many are sampled together, or fewer where the free memory is short."""


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """The rows of one update: at x_t and t, conditioned on `cond`, the model is to predict `target`."""

    x: Latents
    t: Shaped[Tensor, " batch"]
    cond: Conditioning
    target: Latents


@dataclass(frozen=True)
class TrainingPrompts:
    """The prompts of a training, row by row, and the target that goes with them.

    Args:
        concept: c, the prompts that the target leads away from.
        trained: The prompts that the model is trained on and its states are sampled for: those of `concept`, unless an
            attribute is to be erased from something.
        target: The equation of ε̃. Its start is ε*(x, ∅), or ε*(x, trained prompt) if `is_from`.
        is_from: Whether an attribute is to be erased from something, the trained prompts.
        rest: In the place of ∅, what each prompt says without the concept; () for ∅ itself.
    """

    concept: tuple[str, ...]
    trained: tuple[str, ...]
    target: Target
    is_from: bool = False
    rest: tuple[str, ...] = ()

    @property
    def has_rest(self) -> bool:
        """Whether a prompt says more than the concept, so that ε*(x, rest) is another prediction than ε*(x, ∅)."""
        return any(self.rest)

    @property
    def predictions(self) -> int:
        """Predictions of the frozen model for each state."""
        return 2 + self.is_from + self.has_rest

    def __len__(self) -> int:
        return len(self.concept)

    def __getitem__(self, rows: slice) -> TrainingPrompts:
        return replace(self, concept=self.concept[rows], trained=self.trained[rows], rest=self.rest[rows])


@dataclass(frozen=True)
class SamplingSettings:
    """How states are sampled.

    Args:
        steps: T, the DDIM steps of a run.
        guidance_scale: w of a run.
        window: Indices of the steps that count.
        seed: Of all draws.
    """

    steps: int
    guidance_scale: float
    window: range
    seed: int


class StoredStates:
    """States on guided trajectories of the frozen model, a trajectory for each row of prompts, sampled once.

    Sampling computes ε*(x, c) and ε*(x, ∅) anyway, 2·T·n rows for n trajectories of T steps, so that the target comes
    with them and a batch costs no pass through the denoiser. Erasing from something needs T·n more, for c.

    Args:
        model: The frozen model.
        prompts: The prompts to train on.
        sampling: How to sample.
        checkpoint: Where trajectories are stored; those that it holds are not sampled again.
        progress: Called with sampling steps done and in all, over all trajectories.
        preserved: Share of a batch's rows that are trained on the rest with ε*(x, rest), which is to stay as it is.
    """

    def __init__(
        self,
        model: Model,
        prompts: TrainingPrompts,
        sampling: SamplingSettings,
        checkpoint: Parts[Tensors],
        progress: Progress,
        *,
        preserved: float = 0.0,
    ) -> None:
        self._seed, self._preserved = sampling.seed, preserved
        scale = sampling.guidance_scale
        self._cond = guided(model, model.encode(prompts.trained), scale)
        self._rest_cond = guided(model, model.encode(prompts.rest or [""] * len(prompts)), scale)
        parts = _record_all(model, prompts, sampling, checkpoint, progress)
        self._t = parts[0]["t"].to(model.device)
        self._x = torch.cat([part["x"] for part in parts], dim=1).to(model.device)
        self._target = torch.cat([part["target"] for part in parts], dim=1).to(model.device)
        self._rest = torch.cat([part["rest"] for part in parts], dim=1).to(model.device)

    def batch(self, update: int, size: int) -> TrainingBatch:
        """Draw trajectories and steps evenly, for each row of the batch anew; the last rows preserve."""
        generator, (steps, rows) = draws("updates", self._seed, update), self._x.shape[:2]
        step, row = (torch.from_numpy(generator.integers(n, size=size)).to(self._x.device) for n in (steps, rows))
        x, t, cond, target = self._x[step, row], self._t[step], self._cond[row], self._target[step, row]
        count = round(self._preserved * size)
        if count:
            last = slice(size - count, size)
            cond = Conditioning.cat([cond[: size - count], self._rest_cond[row[last]]])
            target = torch.cat([target[: size - count], self._rest[step[last], row[last]]])
        return TrainingBatch(x, t, cond, target)


class FreshStates:
    """States sampled anew for each update from the model as trained so far; only the target is the frozen model's.

    An update costs up to 2·T rows of sampling for each row of its batch (on average half of them for one row), and 2
    for the target, or 3 if an attribute is erased from something.

    Args:
        model: The frozen model.
        prompts: The prompts to train on.
        sampling: How to sample.
        masters: The trained weights.
    """

    def __init__(self, model: Model, prompts: TrainingPrompts, sampling: SamplingSettings, masters: Trained) -> None:
        self._model, self._prompts, self._sampling, self._masters = model, prompts, sampling, masters
        self._concept, self._trained, self._empty = (
            guided(model, model.encode(texts), sampling.guidance_scale)
            for texts in (prompts.concept, prompts.trained, [""])
        )

    @torch.no_grad()
    def batch(self, update: int, size: int) -> TrainingBatch:
        """Draw prompts and steps evenly, and sample each row with guidance as far as its own step."""
        generator = draws("updates", self._sampling.seed, update)
        row = torch.from_numpy(generator.integers(len(self._prompts), size=size)).to(self._model.device)
        steps = generator.choice(self._sampling.window, size=size).tolist()
        noise = self._model.noise(noise_seeds(generator, size))
        with substituted(self._model, self._masters.current()):
            x, t = self._sample(noise, self._trained[row], steps)
        return TrainingBatch(x, t, self._trained[row], self._target(x, t, row))

    def _sample(self, noise: Latents, cond: Conditioning, last_steps: Sequence[int]) -> tuple[Latents, Tensor]:
        """Return x_t and t of each row at its own step."""
        x, t = torch.empty_like(noise), [0.0] * len(noise)
        count, scale = self._sampling.steps, self._sampling.guidance_scale
        no_guidance = Blend(())  # weights are trained as without the guidance that may be on the model
        run = sample(self._model, cond, self._empty, noise, steps=count, guidance_scale=scale, guidance=no_guidance)
        for step in run:
            here = [row for row, index in enumerate(last_steps) if index == step.index]
            x[here] = step.x[here]
            for row in here:
                t[row] = step.t
            if step.index == max(last_steps):
                break
        return x, torch.tensor(t, device=noise.device)

    def _target(self, x: Latents, t: Tensor, row: Tensor) -> Latents:
        """Return ε̃ from the frozen model's predictions, all of them in one call."""
        conds = [self._empty.repeat(len(x)), self._concept[row]]
        conds += [self._trained[row]] if self._prompts.is_from else []
        eps = self._model.followed(x.repeat(len(conds), 1, 1, 1), t.repeat(len(conds)), Conditioning.cat(conds))
        uncond, concept, *trained = eps.chunk(len(conds))
        return self._prompts.target(trained[0] if trained else uncond, concept, uncond)


def _record_all(
    model: Model, prompts: TrainingPrompts, sampling: SamplingSettings, checkpoint: Parts[Tensors], progress: Progress
) -> list[Tensors]:
    """Return all trajectories, some at a time; what the checkpoint holds is not sampled again."""
    seeds = noise_seeds(draws("trajectories", sampling.seed), len(prompts))
    fitting = checkpoint.part("at once", lambda: {"at once": torch.tensor(pictures_that_fit(model, RECORDED_AT_ONCE))})
    at_once = int(fitting["at once"])  # as many after a kill, whatever is free by then: the last bits hang on it

    def part(rows: slice) -> Tensors:
        def report(done: int, total: int) -> None:
            progress(rows.start * sampling.steps + done, len(prompts) * sampling.steps)

        return checkpoint.part(
            f"trajectories-{rows.start}",
            lambda: _record(model, prompts[rows], seeds[rows], sampling, report, at_once=at_once),
        )

    return [part(slice(start, start + RECORDED_AT_ONCE)) for start in range(0, len(prompts), RECORDED_AT_ONCE)]


@torch.no_grad()
def _record(
    model: Model,
    prompts: TrainingPrompts,
    seeds: list[int],
    sampling: SamplingSettings,
    progress: Progress,
    *,
    at_once: int,
) -> dict[str, Tensor]:
    """Return t, x_t and ε̃ of a few trajectories, at the steps that count."""
    run = Trajectory.record(
        model,
        prompts.trained,
        seeds,
        steps=sampling.steps,
        guidance_scale=sampling.guidance_scale,
        batch_size=at_once,
        progress=progress,
    )
    counted = slice(sampling.window.start, sampling.window.stop)
    t, x, trained, uncond = (each[counted] for each in (run.timesteps, run.x, run.eps_cond, run.eps_uncond))
    concept = _predict(model, prompts.concept, x, t, sampling, at_once) if prompts.is_from else trained
    rest = _predict(model, prompts.rest, x, t, sampling, at_once) if prompts.has_rest else uncond
    target = prompts.target(trained if prompts.is_from else rest, concept, rest)
    _check(target, prompts, sampling)
    return {"t": t, "x": x, "target": target, "rest": rest}


def _predict(
    model: Model, texts: Sequence[str], x: Predictions, t: Tensor, sampling: SamplingSettings, at_once: int
) -> Predictions:
    """Return ε* for other prompts than the trajectories', a step at a time."""
    cond = guided(model, model.encode(texts), sampling.guidance_scale)
    parts = list(batches(len(texts), GUIDED * at_once))
    return torch.stack(
        [torch.cat([model.followed(x[step, rows], t[step], cond[rows]) for rows in parts]) for step in range(len(t))]
    )


def _check(target: Predictions, prompts: TrainingPrompts, sampling: SamplingSettings) -> None:
    is_bad = ~torch.isfinite(target).flatten(2).all(dim=2)
    if is_bad.any():
        step, row = (int(index) for index in is_bad.nonzero()[0])
        raise NotFinite(
            f"The denoiser gives NaN or infinity for {prompts.trained[row]!r} in step {sampling.window[step] + 1} of "
            f"{sampling.steps}: load the model in fp32, or check its weights."
        )
