"""Scores of weights that CAD's are held against at the same share: the classical criteria of pruning."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from turpentine.erase._training.draws import draws, noise_seeds
from turpentine.erase.common import Score


def scores_of_weights(score: Score, weights: Mapping[str, Tensor], seed: int, concept: int = 0) -> dict[str, Tensor]:
    """Return the scores that need no picture: |w|, or an even draw above 0.

    Args:
        score: "magnitude" or "random".
        weights: The weights by name.
        seed: Of the draw.
        concept: Its number, from 0; the draw is each concept's own.
    """
    if score == "magnitude":
        return {name: weight.detach().float().abs() for name, weight in weights.items()}
    (own,) = noise_seeds(draws("updates", seed, concept), 1)
    generator = torch.Generator().manual_seed(own)
    return {name: 1 - torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}
