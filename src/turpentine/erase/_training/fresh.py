"""States of the model that is being trained, sampled anew for each update."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from turpentine.erase._training.draws import draws, noise_seeds
from turpentine.erase._training.masters import Masters, standing_in
from turpentine.erase._training.states import Batch, Latents, Lesson, Sampling
from turpentine.models import Blend, Conditioning, Model, sample


class FreshStates:
    """States of the model as it is at an update; only the target is the frozen model's.

    An update costs up to 2·T rows of sampling for each row of its batch (on average half of them for one row), and 2
    for the target, or 3 where the lesson erases from something.
    """

    def __init__(self, model: Model, lesson: Lesson, sampling: Sampling, masters: Masters) -> None:
        self._model, self._lesson, self._sampling, self._masters = model, lesson, sampling, masters
        self._concept, self._taught, self._empty = (
            model.encode(texts) for texts in (lesson.prompts, lesson.taught, [""])
        )

    @torch.no_grad()
    def batch(self, update: int, size: int) -> Batch:
        """Prompts and steps are drawn evenly; each row is sampled with guidance as far as its own step."""
        generator = draws("updates", self._sampling.seed, update)
        row = torch.from_numpy(generator.integers(len(self._lesson), size=size)).to(self._model.device)
        steps = generator.choice(self._sampling.window, size=size).tolist()
        noise = self._model.noise(noise_seeds(generator, size))
        with standing_in(self._model, self._masters.cast()):
            x, t = self._walk(noise, self._taught[row], steps)
        return Batch(x, t, self._taught[row], self._target(x, t, row))

    def _walk(self, noise: Latents, cond: Conditioning, wanted: Sequence[int]) -> tuple[Latents, Tensor]:
        """x_t and t of each row at its own step."""
        x, t = torch.empty_like(noise), torch.empty(len(noise), dtype=torch.long)
        count, scale = self._sampling.steps, self._sampling.guidance_scale
        plain = Blend(())  # weights are trained as without the guidance that may be on the model
        for step in sample(self._model, cond, self._empty, noise, steps=count, guidance_scale=scale, guidance=plain):
            here = [row for row, index in enumerate(wanted) if index == step.index]
            x[here], t[here] = step.x[here], int(step.t)
            if step.index == max(wanted):
                break
        return x, t.to(noise.device)

    def _target(self, x: Latents, t: Tensor, row: Tensor) -> Latents:
        """ε̃ from the frozen model's predictions, all of them in one call."""
        told = [self._empty.repeat(len(x)), self._concept[row]]
        told += [self._taught[row]] if self._lesson.is_from else []
        eps = self._model.eps(x.repeat(len(told), 1, 1, 1), t.repeat(len(told)), Conditioning.cat(told))
        uncond, concept, *taught = eps.chunk(len(told))
        return self._lesson.target(taught[0] if taught else uncond, concept, uncond)
