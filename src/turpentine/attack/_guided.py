"""What an erased model predicts inside a loss: with a guidance on the model, what its sampler would take."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from turpentine.models import Conditioning, Model
from turpentine.models.interface import Guidance, Latents


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predicts noise as the sampler takes it: by the denoiser, or by the guidance that is on the model.

    Args:
        model: What predicts.
        guidance: The one on the model; None without.
        guidance_scale: w of the guidance.
        steps: Of the sampler, in whose units a guidance counts, for its warm-up.
        empty: The empty prompt, for a guidance.
        rows: Of the denoiser for each example.
        texts: Prompts that are encoded for each call, beside the one of the artefact.
    """

    model: Model
    guidance: Guidance | None
    guidance_scale: float
    steps: int
    empty: Conditioning | None = None
    rows: int = 1
    texts: int = 0

    @classmethod
    def of(cls, model: Model, guidance_scale: float, steps: int) -> Predictor:
        """Return what predicts for a model with whatever is on it."""
        guidance = model.guidance
        if guidance is None:
            return cls(model, None, guidance_scale, steps)
        run = guidance.start(model, 1, guidance_scale, steps)
        extra = len(run.extra) if run.extra is not None else 0
        rows = 1 + int(run.needs_uncond) + extra
        return cls(model, guidance, guidance_scale, steps, model.encode([""]), rows, extra)

    @property
    def takes_one_time(self) -> bool:
        """Whether all examples of a call must be at one timestep: a guidance goes by the sampler's step."""
        return self.guidance is not None

    def __call__(self, x: Latents, t: Tensor, cond: Conditioning) -> Latents:
        """Return ε for all rows of `x`, which share the one row of `cond`; gradients go to `cond`.

        Args:
            x: x_t.
            t: A timestep for each row, the same for all where a guidance is on the model.
            cond: One prompt.
        """
        own = cond.repeat(len(x))
        if self.guidance is None:
            return self.model.eps(x, t, own)
        assert self.empty is not None
        with torch.no_grad():
            run = self.guidance.start(self.model, len(x), self.guidance_scale, self.steps)
        groups = [self.empty.repeat(len(x)), own] if run.needs_uncond else [own]
        groups += [run.extra.sized_as(own)] if run.extra is not None else []
        whole = Conditioning.cat(groups)
        times = len(whole) // len(x)
        eps = self.model.eps(x.repeat(times, 1, 1, 1), t.repeat(times), whole)
        first = len(x) if run.needs_uncond else 0
        uncond, plain, extra = eps[:first], eps[first : first + len(x)], eps[first + len(x) :]
        return run(self._index(t), uncond if first else None, plain, extra if len(extra) else None)

    def _index(self, t: Tensor) -> int:
        """Return the sampler's step that is next to a timestep."""
        return round((1 - t[0].item() / self.model.schedule.training_steps) * (self.steps - 1))
