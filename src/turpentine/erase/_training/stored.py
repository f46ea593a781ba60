"""States of the frozen model, sampled once."""

from __future__ import annotations

import torch
from torch import Tensor

from turpentine.core.errors import NotFinite
from turpentine.core.parts import Parts, Tensors
from turpentine.core.progress import Progress
from turpentine.erase._training.draws import draws, noise_seeds
from turpentine.erase._training.states import Batch, Lesson, Predictions, Sampling
from turpentine.models import Model, Trajectory

RECORDED_AT_ONCE = 8


class StoredStates:
    """States on guided trajectories of the frozen model, a trajectory for each row of the lesson.

    Sampling computes ε*(x, c) and ε*(x, ∅) anyway, 2·T·n rows for n trajectories of T steps, so that the target comes
    with them and a batch costs no pass through the denoiser. A lesson that erases from something needs T·n more, for c.
    """

    def __init__(
        self, model: Model, lesson: Lesson, sampling: Sampling, checkpoint: Parts[Tensors], progress: Progress
    ) -> None:
        self._seed = sampling.seed
        self._cond = model.encode(lesson.taught)
        parts = _record_all(model, lesson, sampling, checkpoint, progress)
        self._t = parts[0]["t"].to(model.device)
        self._x = torch.cat([part["x"] for part in parts], dim=1).to(model.device)
        self._target = torch.cat([part["target"] for part in parts], dim=1).to(model.device)

    def batch(self, update: int, size: int) -> Batch:
        """Trajectories and steps are drawn evenly, for each row of the batch anew."""
        generator, (steps, rows) = draws("updates", self._seed, update), self._x.shape[:2]
        step, row = (torch.from_numpy(generator.integers(n, size=size)).to(self._x.device) for n in (steps, rows))
        return Batch(self._x[step, row], self._t[step], self._cond[row], self._target[step, row])


def _record_all(
    model: Model, lesson: Lesson, sampling: Sampling, checkpoint: Parts[Tensors], progress: Progress
) -> list[Tensors]:
    """All rows, some at a time; what the checkpoint holds is not sampled again."""
    seeds = noise_seeds(draws("trajectories", sampling.seed), len(lesson))
    return [
        _recorded(model, lesson, seeds, slice(start, start + RECORDED_AT_ONCE), sampling, checkpoint, progress)
        for start in range(0, len(lesson), RECORDED_AT_ONCE)
    ]


def _recorded(
    model: Model,
    lesson: Lesson,
    seeds: list[int],
    rows: slice,
    sampling: Sampling,
    checkpoint: Parts[Tensors],
    progress: Progress,
) -> Tensors:
    def shifted(done: int, total: int) -> None:
        progress(rows.start * sampling.steps + done, len(lesson) * sampling.steps)

    return checkpoint.part(
        f"trajectories-{rows.start}", lambda: _record(model, lesson[rows], seeds[rows], sampling, shifted)
    )


@torch.no_grad()
def _record(
    model: Model, lesson: Lesson, seeds: list[int], sampling: Sampling, progress: Progress
) -> dict[str, Tensor]:
    """t, x_t and ε̃ of a few trajectories, at the steps that count."""
    run = Trajectory.record(
        model,
        lesson.taught,
        seeds,
        steps=sampling.steps,
        guidance_scale=sampling.guidance_scale,
        batch_size=RECORDED_AT_ONCE,
        progress=progress,
    )
    counted = slice(sampling.window.start, sampling.window.stop)
    t, x, taught, uncond = (each[counted] for each in (run.timesteps.long(), run.x, run.eps_cond, run.eps_uncond))
    concept = _predict(model, lesson, x, t) if lesson.is_from else taught
    target = lesson.target(taught if lesson.is_from else uncond, concept, uncond)
    _check(target, lesson, sampling)
    return {"t": t, "x": x, "target": target}


def _predict(model: Model, lesson: Lesson, x: Predictions, t: Tensor) -> Predictions:
    """ε*(x_t, c) where the trajectories are another prompt's, a step at a time."""
    cond = model.encode(lesson.prompts)
    return torch.stack([model.eps(x[step], t[step], cond) for step in range(len(t))])


def _check(target: Predictions, lesson: Lesson, sampling: Sampling) -> None:
    is_bad = ~torch.isfinite(target).flatten(2).all(dim=2)
    if is_bad.any():
        step, row = (int(index) for index in is_bad.nonzero()[0])
        raise NotFinite(
            f"The denoiser gives NaN or infinity for {lesson.taught[row]!r} in step {sampling.window[step] + 1} of "
            f"{sampling.steps}: load the model in fp32, or check its weights."
        )
