"""Batches of rendered pictures for training, from a generator."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor

from turpentine.emoji.captions import WORLD, Captioned, Draw, Mixture, draw
from turpentine.emoji.vision import to_tensor
from turpentine.emoji.world import render


def batch(
    rng: np.random.Generator, count: int, size: int, mixture: Mixture = WORLD, draw: Draw = draw
) -> tuple[Float[Tensor, "count 3 size size"], list[Captioned]]:
    """`count` pictures of the training world in [−1, 1], and what they are."""
    drawn = [draw(rng, mixture) for _ in range(count)]
    return to_tensor([render(c.picture, size) for c in drawn]), drawn
