"""Tell the resnets another time than the latent's: what the timestep embedding is for (thesis, future work)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Seed, Settings
from turpentine.core.suggest import offer
from turpentine.explain._branches import BranchesFinding, draw_branches, summarize
from turpentine.explain._codes import GROUPS, group
from turpentine.explain.cache import parts_of
from turpentine.judges.base import Judge
from turpentine.judges.worlds import check_judge_of
from turpentine.models.branches import Intervention
from turpentine.models.call import Call
from turpentine.models.drawing_defaults import drawing_of
from turpentine.models.generate import fitting_pairs
from turpentine.models.hooks import Before
from turpentine.models.model import Model
from turpentine.models.sampler import started

SHUFFLED = "shuffled"
_TIME = re.compile(r"([+\-=])(\d*\.?\d+)")


@dataclass(frozen=True)
class Clock(Settings):
    """Tell the resnets another time than the picture's at each step, and see what the time is for.

    The latent and the solver keep their own time. 0 is pure noise and 1 the picture, and time stops at either end.

    Args:
        times: +0.1 is later in the schedule by a tenth of it, -0.1 earlier; =0.5 is half-way at every step; "shuffled"
            has the steps' own times in another order.
        layers: The resnets: ALL; LOWRES, those at a quarter of the highest resolution or below; HIGHRES, those at it.
        steps: DDIM steps of a picture; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        rows: Rows of the denoiser in one call; fewer take less memory.
        seed: Seed of the shuffling.

    Example:
        >>> finding = Clock(times=("+0.1",), steps=2)(model, "a church", 0)
        >>> finding.table["letters"].unique(maintain_order=True).to_list()
        ['untouched', '+0.1']
    """

    name: ClassVar[str] = "clock"
    times: tuple[str, ...] = ("-0.2", "-0.1", "+0.1", "+0.2", "=0.5", SHUFFLED)
    layers: str = "ALL"
    steps: Count | None = None
    guidance_scale: Finite | None = None
    rows: Count = 256
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            UnknownName: A time of another form, or other layers.
            BadArgument: No time, or one out of range.
        """
        super().__post_init__()
        if self.layers not in GROUPS:
            raise UnknownName(f"There are no resnets called {self.layers!r}: {offer(self.layers, GROUPS)}")
        if not self.times:
            raise BadArgument("There is no other time to tell: give some, such as +0.1.")
        for time in self.times:
            _check_time(time)

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int] = range(8),
        *,
        judge: Judge | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> ClockFinding:
        """Draw and measure pictures under each other time; rows of ∅ and of a guidance get the other time too.

        Args:
            model: The model.
            prompts: What to draw; pair up with the seeds as in `Model.generate`.
            seeds: Of the pictures.
            judge: Its columns of labels are compared with what it says of the untouched picture.
            cache: The folder for finished parts, from which an interrupted run goes on.
            progress: Called with pictures done and in all.

        Raises:
            UnknownName: A time of another form, or other layers.
            BadArgument: No time, one out of range, or a prompt that is too long.
            EmptySelection: Layers that the model has not.
        """
        check_judge_of(model, judge)
        branches = draw_branches(
            model,
            {time: self.intervention(model, time) for time in self.times},
            *fitting_pairs(model, prompts, seeds),
            **drawing_of(self, model),
            rows=self.rows,
            parts=parts_of(cache, model, self),
            progress=progress,
        )
        rows = branches.rows(judge)
        return ClockFinding(summarize(rows), model.sites, "Another time for the resnets", rows, branches.images)

    def intervention(self, model: Model, time: str) -> Intervention:
        """Return the intervention that a time stands for."""
        scheduler = started(model, "ddim", drawing_of(self, model)["steps"])
        own: Tensor = scheduler.timesteps
        other = _other_times(time, own, scheduler.config.num_train_timesteps, self.seed)
        change = (model.family.embed_time(other) - model.family.embed_time(own)).to(model.dtype)
        return Intervention(before={group(model.sites.only(kind="resnet", level="module"), self.layers): _add(change)})


@dataclass(frozen=True, eq=False)
class ClockFinding(BranchesFinding):
    """What another time for the resnets did to pictures; see `BranchesFinding`, where `letters` are the times."""


def _check_time(time: str) -> None:
    form = _TIME.fullmatch(time)
    if form is None and time != SHUFFLED:
        raise UnknownName(f"{time!r} is no other time: write +0.1, -0.1, =0.5 or {SHUFFLED}.")
    if form is not None and float(form[2]) > 1:
        raise BadArgument(f"{time!r} is more than the whole schedule: give 0 to 1.")


def _other_times(time: str, own: Tensor, length: int, seed: int) -> Float[Tensor, " step"]:
    """Return the time of each step, in the model's own count, where 0 is the picture."""
    if time == SHUFFLED:
        return own[torch.randperm(len(own), generator=torch.Generator().manual_seed(seed))].float()
    form = _TIME.fullmatch(time)
    assert form is not None  # the settings were checked
    part = float(form[2])
    last = length - 1
    if form[1] == "=":
        return torch.full_like(own, 0, dtype=torch.float32) + (1 - part) * last
    return (own.float() + (-part if form[1] == "+" else part) * length).clamp(0, last)


def _add(change: Float[Tensor, "step feature"]) -> Before:
    """Add a step's change to the embedding on all of a run's rows, the prompt's and those that guide it.

    The embedding is a sum of the time's and, in SDXL, that of the sizes and the pooled text, which stays.
    """

    def shift(call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        assert call.moment is not None  # run_branches samples
        x, embedding = call.args
        embedding = embedding.clone()
        for rows in (call.moment.conditional, *call.moment.guiding):
            embedding[rows] += change[call.moment.index]
        return (x, embedding), call.kwargs

    return shift
