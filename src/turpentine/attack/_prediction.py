"""The noise as the sampler would take it, with gradients: the denoiser's own prediction, or that of a guidance."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.models import Conditioning, Model
from turpentine.models.filters import steers
from turpentine.models.guidance import guided_by

Latents = Float[Tensor, "batch channel height width"]


class SamplerPrediction:
    """ε(x_t, c) of a model as it is, or what the guidance that is on it makes of its predictions.

    A guidance knows one step at a time, so all rows have one timestep then, and each call begins a run of its own.

    Args:
        model: With all its changes on.
        rows: Of the batches that it will be asked for.
        guidance_scale: w, where a guidance is on.
        steps: Of the sampler's run, where a guidance is on.

    Attributes:
        is_guided: Is a guidance on that changes predictions, which filters do not?
        times: Rows of the denoiser for each row.
    """

    def __init__(self, model: Model, rows: int, guidance_scale: float, steps: int) -> None:
        self._model, self._scale, self._steps = model, guidance_scale, steps
        self.is_guided, self.times = steers(model.guidance), 1
        if model.guidance is not None and self.is_guided:
            run = model.guidance.start(model, rows, guidance_scale, steps)
            self.times += int(run.needs_uncond) + (len(run.extra) // rows if run.extra is not None else 0)
            self._empty = model.encode([""])

    def __call__(self, x: Latents, t: Int[Tensor, " batch"], cond: Conditioning, index: int | None = None) -> Latents:
        """Return ε of rows of one prompt.

        Args:
            x: x_t.
            t: Of each row; of a guidance's all the same.
            cond: Of the one prompt.
            index: The step of the sampler; by default the one nearest to the timestep.
        """
        if not self.is_guided:
            return self._model.eps(x, t, cond.repeat(len(x)))
        assert self._model.guidance is not None
        with torch.no_grad():
            run = self._model.guidance.start(self._model, len(x), self._scale, self._steps)
        own = cond.repeat(len(x))
        groups = [self._empty.repeat(len(x)), own] if run.needs_uncond else [own]
        groups += [run.extra.sized_as(own)] if run.extra is not None else []
        whole = guided_by(self._model, Conditioning.cat(groups), run)
        times = len(whole) // len(x)
        eps = self._model.eps(x.repeat(times, 1, 1, 1), t.repeat(times), whole)
        first = len(x) if run.needs_uncond else 0
        uncond, plain, extra = eps[:first], eps[first : first + len(x)], eps[first + len(x) :]
        at = self._nearest(t) if index is None else index
        return run(at, uncond if first else None, plain, extra if len(extra) else None)

    def _nearest(self, t: Int[Tensor, " batch"]) -> int:
        return round((1 - t[0].item() / self._model.schedule.training_steps) * (self._steps - 1))
