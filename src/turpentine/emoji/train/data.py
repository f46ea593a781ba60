"""Draw batches of rendered pictures for training."""

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
    """Draw `count` pictures of the training world in [−1, 1], and return their captions too."""
    captioned = [draw(rng, mixture) for _ in range(count)]
    return to_tensor([render(each.picture, size) for each in captioned]), captioned
