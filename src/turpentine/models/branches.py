"""Many interventions side by side: a sampling run each, in shared denoiser calls, from where they first differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch

from turpentine.core.progress import Progress
from turpentine.models.call import Call
from turpentine.models.conditioning import Conditioning
from turpentine.models.hooks import After, Before, hooked
from turpentine.models.interface import Latents
from turpentine.models.model import Model
from turpentine.models.sampler import rows_in_a_step, sample
from turpentine.models.sites import Site, Sites, as_sites


@dataclass(frozen=True, eq=False)
class Intervention:
    """What is done otherwise in a run than in the untouched one.

    after, before: functions on sites, as `hooked` takes them; they touch `call.rows`, which are this run's.
    copied: sites whose output is that of the untouched run at the same step. told: what the run is told, a row for each
    of the untouched run's; None for the same. Sites act during their window.
    """

    after: Mapping[Site | Sites, After] = field(default_factory=dict)
    before: Mapping[Site | Sites, Before] = field(default_factory=dict)
    copied: Site | Sites | None = None
    told: Conditioning | None = None

    def first_step(self, steps: int) -> int:
        """The first of `steps` steps in which anything is done; `steps` for none."""
        if self.told is not None:
            return 0
        touched = map(as_sites, [*self.after, *self.before, *([] if self.copied is None else [self.copied])])
        opened = [sites.window.steps(steps) if sites.window else range(steps) for sites in touched if sites]
        return min((window.start for window in opened if window), default=steps)


def run_branches(
    model: Model,
    interventions: Sequence[Intervention],
    cond: Conditioning,
    uncond: Conditioning,
    latents: Latents,
    *,
    steps: int,
    guidance_scale: float,
    progress: Progress | None = None,
) -> tuple[Latents, list[Latents]]:
    """The finished latents of the untouched run, and of one run for each intervention, by DDIM.

    cond: a row for each latent. uncond: as many rows, or one for all. A run leaves the untouched one at its first step
    with an intervention; what comes before is computed once, unless a guidance is on the model, which may remember.
    All runs under way go through the denoiser in one call: 2·n·(1 + runs) rows for n latents. progress: called with
    rows of the denoiser done and in all.
    """
    count = len(cond)
    starts, each = _starts(model, interventions, steps), rows_in_a_step(model, guidance_scale, steps)
    total = branch_rows(model, interventions, count, steps=steps, guidance_scale=guidance_scale)
    under_way: list[int] = []
    x, done = latents, 0
    edges = sorted({0, *starts, steps})
    for begin, end in pairwise(edges):
        joining = [index for index, start in enumerate(starts) if start == begin]
        x = torch.cat([x, x[:count].repeat(len(joining), 1, 1, 1)])
        under_way += joining
        running = [interventions[index] for index in under_way]
        told = Conditioning.cat([cond, *(cond if one.told is None else one.told for one in running)])
        empty = uncond if len(uncond) == 1 else uncond.repeat(1 + len(running))
        with _side_by_side(model, running, count):
            for step in sample(
                model, told, empty, x, steps=steps, guidance_scale=guidance_scale, first=begin, last=end
            ):
                x = step.x_next
                done += each * len(x)
                if progress:
                    progress(done, total)
    results = {index: x[count * (1 + row) : count * (2 + row)] for row, index in enumerate(under_way)}
    return x[:count], [results.get(index, x[:count]) for index in range(len(interventions))]


def branch_rows(
    model: Model, interventions: Sequence[Intervention], count: int, *, steps: int, guidance_scale: float
) -> int:
    """Rows of the denoiser that `run_branches` takes for `count` latents."""
    taken = steps + sum(steps - start for start in _starts(model, interventions, steps))
    return rows_in_a_step(model, guidance_scale, steps) * count * taken


def pictures_at_once(interventions: int, rows: int, each: int) -> int:
    """Pictures that share a call of at most so many rows with their runs; `each` is what `rows_in_a_step` says."""
    return max(1, rows // (each * (1 + interventions)))


def runs_at_once(rows: int, each: int) -> int:
    """Runs of one picture that share such a call with its untouched one."""
    return max(1, rows // each - 1)


def _starts(model: Model, interventions: Sequence[Intervention], steps: int) -> list[int]:
    """The step at which each run leaves the untouched one."""
    apart = model.guidance is None
    return [intervention.first_step(steps) if apart else 0 for intervention in interventions]


@contextmanager
def _side_by_side(model: Model, running: Sequence[Intervention], count: int) -> Iterator[None]:
    """Put each run's functions on the model, each for its own block of `count` rows; block 0 is the untouched run."""
    with ExitStack() as stack:
        for block, intervention in enumerate(running, start=1):
            after = {sites: _in_block(function, block, count) for sites, function in intervention.after.items()}
            before = {sites: _in_block(function, block, count) for sites, function in intervention.before.items()}
            stack.enter_context(hooked(model, after, before=before))
            if intervention.copied is not None:
                stack.enter_context(hooked(model, {intervention.copied: _copy(block, count)}))
        yield


def _in_block(function: Any, block: int, count: int) -> Any:
    return lambda call: function(_narrowed(call, block, count))


def _narrowed(call: Call, block: int, count: int) -> Call:
    """The same call, whose rows are those of one block."""
    assert call.moment is not None  # run_branches samples

    def part(rows: slice) -> slice:
        return slice(rows.start + block * count, rows.start + (block + 1) * count)

    guiding = tuple(map(part, call.moment.guiding))
    return replace(call, moment=replace(call.moment, conditional=part(call.moment.conditional), guiding=guiding))


def _copy(block: int, count: int) -> After:
    def copied(call: Call) -> Any:
        output = call.tensor.clone()
        output[_narrowed(call, block, count).rows] = output[_narrowed(call, 0, count).rows]
        return call.with_tensor(output)

    return copied
