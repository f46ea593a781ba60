"""The global random states of Python, NumPy and torch, which no public call moves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """Return the states of the global generators by name, as values that can be compared."""
    kind, keys, *rest = np.random.get_state()
    states = {"python": random.getstate(), "numpy": (kind, np.asarray(keys).tolist(), *rest)}
    states["torch"] = torch.get_rng_state().tolist()
    if torch.cuda.is_initialized():
        states["cuda"] = [state.tolist() for state in torch.cuda.get_rng_state_all()]
    return states


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Put torch's global generators back at the end of the block: networks draw their weights from them when made.

    What fills the weights afterwards makes those draws count for nothing, yet a script's own next draw would differ.

    Example:
        >>> before = torch.get_rng_state()
        >>> with preserved_random_state():
        ...     _ = torch.nn.Linear(2, 2)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        yield
