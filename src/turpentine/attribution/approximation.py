"""How far the first order holds: predicted against measured changes of J over random subsets of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from turpentine.attribution.scores import Approximation, Attribution
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.stats.correlation import pearson

Subset = Mapping[str, Int[Tensor, " position"]]


def approximation(
    attribution: Attribution,
    *,
    trials: int = 1000,
    share: float = 0.001,
    seed: int = 0,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> Approximation:
    """Set random subsets of the attributed weights to 0, one after the other, and measure J each time.

    Figure 2 of CAD (Nguyen et al. 2024, arXiv 2412.02542), which has 1000 trials. A trial takes as many rows of the
    denoiser as J has points. The weights must be as they were when they were attributed; they are not written to.

    Args:
        attribution: Of the weights.
        trials: Random subsets, 4 or more.
        share: Of all attributed weights in each subset, over 0 to 1; drawn with replacement, so that a subset may be a
            little smaller.
        seed: Of the subsets.
        batch_size: Points of J in a call of the denoiser, at most.
        progress: Called with trials done and in all.

    Raises:
        BadArgument: A number is out of range.
        NotFinite: J or the correlation is NaN.
    """
    if trials < 4 or not 0 < share <= 1:
        raise BadArgument(f"{trials} trials of a share of {share}: give 4 trials or more, and a share over 0 to 1.")
    objective, model = attribution.objective, attribution.model
    start = objective.value(model, batch_size=batch_size)
    predicted, measured = np.empty(trials), np.empty(trials)
    for trial, subset in enumerate(_subsets(attribution, trials, share, seed)):
        predicted[trial] = attribution.predicted(subset)
        measured[trial] = start - objective.value(model, _without(attribution, subset), batch_size=batch_size)
        if progress:
            progress(trial + 1, trials)
    return Approximation(predicted, measured, share, *pearson(predicted, measured))


def _subsets(attribution: Attribution, trials: int, share: float, seed: int) -> Iterator[Subset]:
    ends = np.cumsum([alpha.numel() for alpha in attribution.alpha.values()])
    for trial in range(trials):
        generator = np.random.default_rng((seed, trial))
        positions = np.unique(generator.integers(ends[-1], size=max(1, round(share * ends[-1]))))
        yield {name: torch.from_numpy(at) for name, at in _split(attribution, positions, ends) if len(at)}


def _split(
    attribution: Attribution, positions: Int[np.ndarray, " position"], ends: Int[np.ndarray, " weight"]
) -> Iterator[tuple[str, Int[np.ndarray, " position"]]]:
    """Yield positions among all weights as positions in each."""
    parts = np.split(positions, np.searchsorted(positions, ends[:-1]))
    for name, part, end in zip(attribution.alpha, parts, ends, strict=True):
        yield name, part - (end - attribution.alpha[name].numel())


def _without(attribution: Attribution, subset: Subset) -> dict[str, Tensor]:
    """Return copies of the weights with the subset set to 0."""
    weights = {name: attribution.model.parameter(name).detach() for name in subset}
    return {name: _zeroed(weight, subset[name]) for name, weight in weights.items()}


def _zeroed(weight: Tensor, at: Int[Tensor, " position"]) -> Tensor:
    return weight.flatten().index_fill(0, at.to(weight.device), 0).reshape(weight.shape)
