"""Changes to models, one at a time and each whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from turpentine.core.signals import uninterrupted

_LOCK = threading.RLock()
"""One for all models: a model with a lock of its own could not be copied."""


@contextmanager
def changing() -> Iterator[None]:
    """Change what is on a model: no other thread does meanwhile, and no signal cuts it in two.

    Example:
        >>> @changing()
        ... def strengthen(edit):
        ...     return edit * 2
        >>> strengthen(3)
        6
    """
    with uninterrupted(), _LOCK:
        yield
