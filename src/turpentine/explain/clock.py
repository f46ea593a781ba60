"""Tell the resnets another time than the latent's: what the timestep embedding is for (thesis, future work; T49)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.progress import Progress
from turpentine.core.suggest import offer
from turpentine.explain._codes import GROUPS, group
from turpentine.explain.cache import parts_of
from turpentine.explain.intervene import Interventions, draw_branches
from turpentine.judges.base import Judge
from turpentine.models.branches import Intervention
from turpentine.models.generate import fitting_pairs
from turpentine.models.hooks import Before, Call
from turpentine.models.model import Model
from turpentine.models.sampler import started

SHUFFLED = "shuffled"
_TIME = re.compile(r"([+\-=])(\d*\.?\d+)")


@dataclass(frozen=True)
class Clock:
    """Pictures whose resnets are told another time at each step, while latent and solver keep their own.

    times: +0.1 is later in the schedule by a tenth of it, -0.1 earlier (0 is pure noise and 1 the picture, and time
    stops at either end); =0.5 is half-way at every step; "shuffled" has the steps' own times in another order. layers:
    of the resnets, one of `letters.GROUPS`. steps: of DDIM. guidance_scale: w. rows: of the denoiser in a call, at
    most. seed: of the shuffling.
    """

    times: tuple[str, ...] = ("-0.2", "-0.1", "+0.1", "+0.2", "=0.5", SHUFFLED)
    layers: str = "ALL"
    steps: int = 20
    guidance_scale: float = 4.0
    rows: int = 256
    seed: int = 0

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int],
        *,
        judge: Judge | None = None,
        keep: Path | None = None,
        progress: Progress | None = None,
    ) -> Interventions:
        """What each other time does to pictures of prompts and seeds, which pair up as in `Model.generate`.

        As `Intervene` otherwise, with the times in the place of letters; rows of ∅ and of a guidance are told
        the other time too.
        Raises UnknownName for a time of another form or other layers, BadArgument for no time, one out of range or a
        prompt that is too long, EmptySelection for layers that the model has not.
        """
        if self.layers not in GROUPS:
            raise UnknownName(f"There are no resnets called {self.layers!r}: {offer(self.layers, GROUPS)}")
        if not self.times:
            raise BadArgument("There is no other time to tell: give some, such as +0.1.")
        wanted = {time: self.intervention(model, time) for time in self.times}
        drawn = draw_branches(
            model,
            wanted,
            *fitting_pairs(model, prompts, seeds),
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            rows=self.rows,
            kept=parts_of(keep, model, self),
            progress=progress,
        )
        return drawn.compared(model, judge, "Another time for the resnets")

    def intervention(self, model: Model, time: str) -> Intervention:
        """What a time stands for."""
        scheduler = started(model, "ddim", self.steps)
        own: Tensor = scheduler.timesteps
        told = _told(time, own, scheduler.config.num_train_timesteps, self.seed)
        change = (model.family.embed_time(told) - model.family.embed_time(own)).to(model.dtype)
        return Intervention(before={group(model.sites.only(kind="resnet", level="module"), self.layers): _add(change)})


def _told(time: str, own: Tensor, length: int, seed: int) -> Float[Tensor, " step"]:
    """The time of each step, in the model's own count, where 0 is the picture."""
    if time == SHUFFLED:
        return own[torch.randperm(len(own), generator=torch.Generator().manual_seed(seed))].float()
    form = _TIME.fullmatch(time)
    if form is None:
        raise UnknownName(f"{time!r} is no other time: write +0.1, -0.1, =0.5 or {SHUFFLED}.")
    part = float(form[2])
    if part > 1:
        raise BadArgument(f"{time!r} is more than the whole schedule: give 0 to 1.")
    last = length - 1
    if form[1] == "=":
        return torch.full_like(own, 0, dtype=torch.float32) + (1 - part) * last
    return (own.float() + (-part if form[1] == "+" else part) * length).clamp(0, last)


def _add(change: Float[Tensor, "step feature"]) -> Before:
    """Add a step's change to the embedding on all of a run's rows, the prompt's and those that guide it.

    The embedding is a sum of the time's and, in SDXL, what is told of sizes and the pooled text, which stays.
    """

    def told(call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        assert call.moment is not None  # run_branches samples
        x, embedding = call.args
        embedding = embedding.clone()
        for rows in (call.moment.conditional, *call.moment.guiding):
            embedding[rows] += change[call.moment.index]
        return (x, embedding), call.kwargs

    return told
