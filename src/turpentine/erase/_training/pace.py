"""How often to save."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_SAVES = 15.0
LARGEST_SHARE = 0.05


class Pace:
    """A save is due every 15 seconds, or less often where saving would take more than a twentieth of the time."""

    def __init__(self) -> None:
        self._wait = SECONDS_BETWEEN_SAVES
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Is it time to save?"""
        return time.monotonic() - self._last >= self._wait

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Around a save: measures what it costs."""
        start = time.monotonic()
        yield
        self._last = time.monotonic()
        self._wait = max(SECONDS_BETWEEN_SAVES, (self._last - start) / LARGEST_SHARE)
