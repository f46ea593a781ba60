"""Progress: bars in a terminal, plain lines elsewhere; always with what is done, what is left, and the rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from turpentine.cli.terminal import err
from turpentine.core.bars import TerminalBars
from turpentine.core.bars import rate as per_second
from turpentine.core.formatting import duration
from turpentine.core.progress import Progress

# Seconds: short work needs no line, and a log wants few.
_FIRST_LINE = 2.0
_BETWEEN_LINES = 10.0


@contextmanager
def progress_bar(label: str, unit: str = "steps") -> Iterator[Progress]:
    """Show the progress of one piece of work on stderr while the block runs.

    Args:
        label: What is done.
        unit: What is counted.
    """
    with Phases({"": (label, unit)}) as progress:
        yield partial(progress, "")


class Phases:
    """Progress of work in phases, one line each.

    Inside a `with` block call it with a phase's name, units done, and units in all.

    Args:
        phases: Label and unit of each phase by its name.
    """

    def __init__(self, phases: Mapping[str, tuple[str, str]]) -> None:
        self._phases, self._console = phases, err()
        self._bars: TerminalBars | None = None
        self._lines: dict[str, Lines] = {}

    def __enter__(self) -> Phases:
        if self._console.is_terminal:
            self._bars = TerminalBars(self._console)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.close()

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Show how far a phase is."""
        label, unit = self._phases[phase]
        if self._bars:
            self._bars.show(label, unit, done, total)
            return
        if phase not in self._lines:
            self._lines[phase] = Lines(label, unit, self._console.print)
        self._lines[phase](done, total)


@contextmanager
def busy(label: str) -> Iterator[None]:
    """Show in a terminal that something goes on whose progress cannot be measured, such as loading."""
    console = err()
    if not console.is_terminal:
        yield
        return
    with console.status(label):
        yield


class Lines:
    """Progress as lines of a log.

    Args:
        label: What is done.
        unit: What is counted.
        print_line: Writes a line.
        clock: Returns seconds.
    """

    def __init__(
        self, label: str, unit: str, print_line: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._label, self._unit, self._print, self._clock = label, unit, print_line, clock
        self._start = clock()
        self._next = self._start + _FIRST_LINE
        self._first: int | None = None
        self._spoke = False

    def __call__(self, done: int, total: int) -> None:
        """Print a line if it is time for one, and at the end if there was any."""
        now = self._clock()
        # Work of an earlier run says nothing of the rate.
        if self._first is None:
            self._first, self._start = done, now
        if now < self._next and not (done == total and self._spoke):
            return
        self._next, self._spoke = now + _BETWEEN_LINES, True
        self._print(f"{self._label}: {done} of {total} {self._unit}{self._speed(done, total, now)}")

    def _speed(self, done: int, total: int, now: float) -> str:
        fresh = done - (self._first or 0)
        if fresh <= 0 or now <= self._start:
            return ""
        rate = fresh / (now - self._start)
        return f", {per_second(rate)}, {duration((total - done) / rate)} left"
