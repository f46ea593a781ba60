"""The global random states of Python, NumPy and torch, which no public call moves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """Return the states of NumPy's and torch's global generators, as values that can be compared."""
    kind, keys, *rest = np.random.get_state()
    states: dict[str, Any] = {"numpy": (kind, np.asarray(keys).tolist(), *rest)}
    states["torch"] = torch.get_rng_state().tolist()
    states["cuda"] = [torch.cuda.get_rng_state(device).tolist() for device in _devices()]
    return states


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Leave the global random states of Python, NumPy and torch (all devices in use) as they were.

    Such as where a network is read, which draws its weights from them before they are filled: those draws count for
    nothing, yet a script's own next draw would differ.

    Example:
        >>> before = torch.get_rng_state()
        >>> with preserved_rng():
        ...     _ = torch.nn.Linear(2, 2)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(_devices()):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _devices() -> range:
    """Return the indices of the GPUs that have a generator by now."""
    is_initialized: Callable[[], bool] = torch.cuda.is_initialized
    return range(torch.cuda.device_count() if is_initialized() else 0)
