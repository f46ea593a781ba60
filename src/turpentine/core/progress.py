"""Type of progress callbacks, and a counter that calls one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int], None]
"""Called as `progress(done, total)` after each unit of work; the units are the caller's (steps, updates, images)."""

Advance = Callable[[int], None]
"""Called with the number of units just done, where only the caller knows how many there are in all."""


def ignore(units: int) -> None:
    """Report nothing; the default of an `Advance`."""


@dataclass
class Counter:
    """Count units of work as they are done, and report each to a progress callback.

    Args:
        progress: Callback, or None to count only.
        total: Units in all.
        done: Units done so far.

    Example:
        >>> counter = Counter(lambda done, total: print(f"{done} of {total}"), total=3)
        >>> counter.add()
        1 of 3
        >>> counter.add(2)
        3 of 3
    """

    progress: Progress | None
    total: int
    done: int = 0

    def add(self, units: int = 1) -> None:
        """Count `units` more as done, and report them."""
        self.reach(self.done + units)

    def reach(self, done: int) -> None:
        """Set the number of units done in all, and report it."""
        self.done = done
        if self.progress:
            self.progress(self.done, self.total)
