"""Random draws that depend on the seed and the update only, so that a resumed run draws as one that never stopped."""

from __future__ import annotations

import numpy as np

_STREAMS = {"trajectories": 1, "updates": 2}


def draws(stream: str, seed: int, index: int = 0) -> np.random.Generator:
    """A generator of its own for item `index` of a stream: "trajectories" or "updates". seed, index: 0 or more."""
    return np.random.default_rng((_STREAMS[stream], seed, index))


def noise_seeds(generator: np.random.Generator, count: int) -> list[int]:
    """Seeds for starting noise, from 2³¹ up, far from the small ones that pictures for evaluation are drawn with."""
    return [int(seed) for seed in generator.integers(2**31, 2**32, size=count)]
