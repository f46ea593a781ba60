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
    """What a sampling run does differently from the untouched one. Sites act during their window.

    Args:
        after: Functions on sites' outputs, as `hooked` takes them; they touch `call.rows`, which are this run's.
        before: Functions on sites' inputs, likewise.
        copied: Sites whose output is copied from the untouched run at the same step.
        reread: Layers of keys and values whose part of the text is copied from the untouched run at the same step.
        cond: The run's conditioning, a row for each of the untouched run's; None for the same one.
    """

    after: Mapping[Site | Sites, After] = field(default_factory=dict)
    before: Mapping[Site | Sites, Before] = field(default_factory=dict)
    copied: Site | Sites | None = None
    reread: Site | Sites | None = None
    cond: Conditioning | None = None

    def first_step(self, steps: int) -> int:
        """Return the first of `steps` steps that the intervention changes; `steps` if it changes none."""
        if self.cond is not None:
            return 0
        copied = [each for each in (self.copied, self.reread) if each is not None]
        touched = map(as_sites, [*self.after, *self.before, *copied])
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
    """Sample the untouched run and one run for each intervention side by side, by DDIM.

    A run leaves the untouched one at its first step with an intervention; the steps before are computed once, unless
    a guidance is on the model, which may have a state. All runs under way share each call of the denoiser:
    2·n·(1 + runs) rows for n latents.

    Args:
        model: The model.
        interventions: One for each run.
        cond: A row for each latent.
        uncond: As many rows, or one for all.
        latents: Unit noise from `model.noise`.
        steps: Of DDIM.
        guidance_scale: w.
        progress: Called with rows of the denoiser done and in all.

    Returns:
        The finished latents of the untouched run, and those of each intervention's run.
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
        conds = Conditioning.cat([cond, *(cond if one.cond is None else one.cond for one in running)])
        empty = uncond if len(uncond) == 1 else uncond.repeat(1 + len(running))
        with _side_by_side(model, running, count):
            for step in sample(
                model, conds, empty, x, steps=steps, guidance_scale=guidance_scale, first=begin, last=end
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
    """Return how many rows of the denoiser `run_branches` computes for `count` latents."""
    taken = steps + sum(steps - start for start in _starts(model, interventions, steps))
    return rows_in_a_step(model, guidance_scale, steps) * count * taken


def pictures_at_once(interventions: int, rows: int, each: int) -> int:
    """Return how many pictures, with all their runs, fit into one call of the denoiser; 1 at least.

    Args:
        interventions: Runs of each picture, beside its untouched one.
        rows: Of the denoiser in a call, at most.
        each: Rows of one run in a step; see `rows_in_a_step`.

    Example:
        >>> pictures_at_once(interventions=3, rows=32, each=2)
        4
    """
    return max(1, rows // (each * (1 + interventions)))


def runs_at_once(rows: int, each: int) -> int:
    """Return how many runs of one picture fit into one call beside its untouched run; 1 at least.

    Args:
        rows: Of the denoiser in a call, at most.
        each: Rows of one run in a step; see `rows_in_a_step`.

    Example:
        >>> runs_at_once(rows=32, each=2)
        15
    """
    return max(1, rows // each - 1)


def _starts(model: Model, interventions: Sequence[Intervention], steps: int) -> list[int]:
    """Return the step at which each run leaves the untouched one."""
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
            if intervention.reread is not None:
                stack.enter_context(hooked(model, {intervention.reread: _copy(block, count, text_of=model)}))
        yield


def _in_block(function: Any, block: int, count: int) -> Any:
    return lambda call: function(_narrowed(call, block, count))


def _narrowed(call: Call, block: int, count: int) -> Call:
    """Return the same call with its rows narrowed to one block."""
    assert call.moment is not None  # run_branches samples

    def part(rows: slice) -> slice:
        return slice(rows.start + block * count, rows.start + (block + 1) * count)

    guiding = tuple(map(part, call.moment.guiding))
    return replace(call, moment=replace(call.moment, conditional=part(call.moment.conditional), guiding=guiding))


def _copy(block: int, count: int, *, text_of: Model | None = None) -> After:
    def copied(call: Call) -> Any:
        output = call.tensor.clone()
        own, first = (output[_narrowed(call, at, count).rows] for at in (block, 0))
        tokens = slice(None) if text_of is None else text_of.family.streams_at(call.site)[1]
        own[:, tokens] = first[:, tokens]  # a view, as slices are
        return call.with_tensor(output)

    return copied
