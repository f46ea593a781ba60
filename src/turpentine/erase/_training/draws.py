"""Random draws that depend on the seed and the update only, so a resumed run draws what an unbroken one does."""

from __future__ import annotations

import numpy as np

_STREAMS = {"trajectories": 1, "updates": 2}


def draws(stream: str, seed: int, index: int = 0) -> np.random.Generator:
    """Return the generator of one item of a stream.

    Args:
        stream: "trajectories" or "updates".
        seed: The method's seed, 0 or more.
        index: The item, 0 or more.

    Example:
        >>> draws("updates", seed=0, index=7).integers(100) == draws("updates", seed=0, index=7).integers(100)
        True
    """
    return np.random.default_rng((_STREAMS[stream], seed, index))


def noise_seeds(generator: np.random.Generator, count: int) -> list[int]:
    """Draw seeds for starting noise from 2³¹ up, far from the small seeds that pictures for evaluation have."""
    return [int(seed) for seed in generator.integers(2**31, 2**32, size=count)]
