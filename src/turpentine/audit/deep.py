"""What lies deeper than pictures: how far an edited model's predictions, and its hidden states, are from an oracle's.

FADE (arXiv 2510.12981) bounds how far two models' distributions are apart, on pictures that one of them draws:

    FADE(e‖o) = E_{x~e} mean_t ‖n − ε_o(x_t, c)‖² − ‖n − ε_e(x_t, c)‖²

with the same noise n and timesteps t for both, w_t = 1, per number of the latent. It is 0 where the models are alike,
and grows as the oracle would not have drawn what the edited model draws; turned round, as the edited model cannot draw
what the oracle would.

The depth score follows UDS, which is for language models: the outputs of a module, in the oracle (S1) or the edited
model (S2), take the place of the original's, and Δ is by how much worse the original then denoises its own pictures of
the concept. UDS = Σ Δ^S1 · clip(Δ^S2/Δ^S1, 0, 1) / Σ Δ^S1 over modules: 1 where the edited model's inside knows no more
than the oracle's, 0 where it knows what the original knows. Modules in which the oracle does less than 1 % of harm tell
nothing, and do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.attribution.objective import Objective
from turpentine.models import Model
from turpentine.models.generate import batches
from turpentine.models.hooks import hooked, record
from turpentine.models.rerun import Rerun
from turpentine.models.row_memory import fitting_rows
from turpentine.models.sites import DENOISER, Site, Sites
from turpentine.stats.intervals import Estimate, mean_score

TIMES = 8
"""Timesteps of each picture, evenly over the schedule."""
FLOOR = 0.01
"""Harm by the oracle's outputs under which a module does not count."""
RECORDED = 4
"""By how much more memory a row takes where the outputs of all modules are kept, at most."""
SEED = 3_000_000
"""Where the seeds of their noise begin."""


class ModuleDepth(NamedTuple):
    """By what share worse the original denoises with a module's outputs of another model.

    Attributes:
        site: The module.
        oracle: With the oracle's.
        edited: With the edited model's.
    """

    site: str
    oracle: float
    edited: float


def fade(
    drawer: Victim, other: Victim, prompts: Sequence[str], seeds: Sequence[int], trial: Trial, *, times: int = TIMES
) -> Estimate:
    """Return FADE(drawer‖other) on pictures that the first of them draws, with a 95 % interval over prompts.

    Args:
        drawer: Draws the pictures.
        other: Is held against it; of the same world.
        prompts: One for each picture.
        seeds: One for each picture.
        trial: How they are drawn.
        times: Timesteps of each picture.
    """
    latents = latents_of(drawer, prompts, seeds, trial)
    own, foreign = (denoising_losses(each, latents, prompts, times, trial.at_once) for each in (drawer, other))
    return mean_score((foreign - own).mean(0).tolist(), clusters=[(prompt,) for prompt in prompts])


def depth(
    edited: Victim,
    oracle: Victim,
    original: Victim,
    prompts: Sequence[str],
    seeds: Sequence[int],
    trial: Trial,
    *,
    sites: Sites | None = None,
    times: int = TIMES,
) -> list[ModuleDepth]:
    """Return Δ^S1 and Δ^S2 of each module: what `harm` finds for the oracle and for the edited model, side by side.

    `depth_score` makes one number of them.

    Args:
        edited: The donor of S2: the edited model.
        oracle: The donor of S1: one that never saw the concept, of the same architecture.
        original: The model without the edit.
        prompts: Of pictures of the concept, which the original draws; one each.
        seeds: One for each picture.
        trial: How they are drawn.
        sites: Modules; all of the denoiser by default.
        times: Timesteps of each picture.
    """
    return depths(*(harm(each, original, prompts, seeds, trial, sites=sites, times=times) for each in (edited, oracle)))


def depths(edited: Mapping[str, float], oracle: Mapping[str, float]) -> list[ModuleDepth]:
    """Return Δ of each module, from the `harm` that the outputs of both models do."""
    return [ModuleDepth(name, oracle[name], value) for name, value in edited.items()]


def harm(
    donor: Victim,
    original: Victim,
    prompts: Sequence[str],
    seeds: Sequence[int],
    trial: Trial,
    *,
    sites: Sites | None = None,
    times: int = TIMES,
) -> dict[str, float]:
    """Return one model's Δ by module: the original's loss with the module's outputs of the donor, over its own, less 1.

    The loss is of denoising the original's own pictures. What lies before a module is computed once for all of them.

    Args:
        donor: Whose outputs take the place of the original's, of the same architecture.
        original: Who draws the pictures and denoises them.
        prompts: Of pictures; one each.
        seeds: One for each picture.
        trial: How they are drawn.
        sites: Modules; all of the denoiser by default.
        times: Timesteps of each picture.
    """
    latents = latents_of(original, prompts, seeds, trial)
    chosen, plain = sites or _modules(original.model), 0.0
    sums = dict.fromkeys([site.name for site in chosen], 0.0)
    at_once = max(1, fitting_rows(original.model, RECORDED * trial.at_once) // RECORDED)
    for rows in batches(len(latents) * times, at_once):
        outputs = _recorded(donor, chosen, latents, prompts, times, rows)
        with original.on() as model:
            rerun = Rerun(model, chosen)
            with rerun.remembered():
                plain += float(_losses(model, latents, prompts, times, rows).sum())
            for site in chosen:
                with rerun.from_site(site), _replaced(model, site, outputs[site.name]):
                    sums[site.name] += float(_losses(model, latents, prompts, times, rows).sum())
    return {name: total / plain - 1 for name, total in sums.items()}


def deep_rows(model: Model, trial: Trial, pictures: int, *, edits: int = 1, times: int = TIMES) -> int:
    """Return about how many rows of the denoiser FADE in both directions and the depth score take beside one oracle.

    Args:
        model: The original.
        trial: How pictures are drawn.
        pictures: On which they are.
        edits: Edited models.
        times: Timesteps of each picture.
    """
    drawing, losses = 2 * trial.steps * pictures, times * pictures
    fades, harms = 2 * edits + 1, edits + 1
    return fades * (drawing + 2 * losses) + harms * (drawing + 2 * losses + len(_modules(model)) * losses // 2)


def _modules(model: Model) -> Sites:
    return model.sites.only(component=DENOISER, level="module")


def depth_score(modules: Sequence[ModuleDepth]) -> float | None:
    """Return UDS, 0 to 1; None where the oracle's outputs do no harm in any module.

    Args:
        modules: As `depth` returns them.

    Example:
        >>> depth_score([ModuleDepth("a", 2.0, 1.0), ModuleDepth("b", 2.0, 4.0), ModuleDepth("c", -1.0, 0.5)])
        0.75
    """
    harmed = [each for each in modules if each.oracle > FLOOR]
    total = sum(each.oracle for each in harmed)
    if not harmed:
        return None
    return float(sum(np.clip(each.edited, 0.0, each.oracle) for each in harmed) / total)


def latents_of(
    drawer: Victim, prompts: Sequence[str], seeds: Sequence[int], trial: Trial
) -> Float[Tensor, "picture channel height width"]:
    """Return the latents of pictures that a model draws.

    Args:
        drawer: The model.
        prompts: One for each picture.
        seeds: One for each picture.
        trial: How they are drawn.
    """
    with drawer.on() as model:
        pictures = model.generate(list(prompts), seeds=list(seeds), progress=False, **trial.drawing)
        return model.encode_image(list(pictures))


def denoising_losses(
    victim: Victim,
    latents: Float[Tensor, "picture channel height width"],
    prompts: Sequence[str],
    times: int,
    batch_size: int,
) -> Float[np.ndarray, "time picture"]:
    """Return ‖n − ε(x_t, c)‖² per number of the latent, of each picture at each timestep, for the same noise always.

    Args:
        victim: Who predicts.
        latents: Of pictures.
        prompts: One for each.
        times: Timesteps, evenly over the schedule.
        batch_size: Rows at a time.
    """
    with victim.on() as model:
        parts = [_losses(model, latents, prompts, times, rows) for rows in batches(len(latents) * times, batch_size)]
    losses: Float[np.ndarray, "time picture"] = torch.cat(parts).reshape(times, len(latents)).double().cpu().numpy()
    return losses


@torch.no_grad()
def _losses(model: Model, latents: Tensor, prompts: Sequence[str], times: int, rows: slice) -> Float[Tensor, " row"]:
    latents = latents.to(model.device)
    points = Objective.denoising(model, latents, prompts, range(SEED, SEED + times))[rows]
    return -points.terms(model) / latents[0].numel()


def _recorded(
    donor: Victim, sites: Sites, latents: Tensor, prompts: Sequence[str], times: int, rows: slice
) -> dict[str, Tensor]:
    with donor.on() as model, record(model, model.sites.named([site.name for site in sites])) as outputs:
        _losses(model, latents, prompts, times, rows)
    return {name: values[0] for name, values in outputs.outputs.items()}


def _replaced(model: Model, site: Site, output: Tensor) -> AbstractContextManager[None]:
    return hooked(model, {site: lambda call: call.with_tensor(output.to(call.tensor))})
