"""Bars of progress: in a terminal by rich, in a notebook as HTML."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as RichBars
from rich.text import Text

from turpentine.core.formatting import duration
from turpentine.core.notebook import text

SILENT = 1.0
"""Seconds: shorter work shows nothing."""

_BETWEEN = 0.2
"""Seconds between two updates in a notebook, each of which is a message to the browser."""


class Bars(Protocol):
    """Shows how far each of some pieces of work is."""

    def show(self, label: str, unit: str, done: int, total: int) -> None:
        """Show how far a piece of work is."""
        ...

    def close(self) -> None:
        """Show no more."""
        ...


class PhaseBars:
    """Progress of work in phases, a bar each; nothing is shown of work that is done in a second.

    Args:
        labels: Label and unit of each phase by its name.
        bars: Makes what shows them, when there is something to show.
        clock: Returns seconds.
    """

    def __init__(
        self,
        labels: Mapping[str, tuple[str, str]],
        bars: Callable[[], Bars],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._labels, self._make, self._clock = labels, bars, clock
        self._bars: Bars | None = None
        self._start = clock()

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Show how far a phase is."""
        if self._bars is None:
            if self._clock() - self._start < SILENT:
                return
            self._bars = self._make()
        self._bars.show(*self._labels.get(phase, (phase.capitalize(), "")), done, total)

    def close(self) -> None:
        """Show no more."""
        if self._bars is not None:
            self._bars.close()


class TerminalBars:
    """Bars on a terminal.

    Args:
        console: The terminal; stderr by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._rich = RichBars(*_COLUMNS, console=console)
        self._tasks: dict[str, TaskID] = {}
        self._rich.start()

    def show(self, label: str, unit: str, done: int, total: int) -> None:
        """Show how far a piece of work is."""
        if label not in self._tasks:
            self._tasks[label] = self._rich.add_task(label, total=total, unit=unit)
        self._rich.update(self._tasks[label], completed=done, total=total)

    def close(self) -> None:
        """Leave the bars as they are."""
        self._rich.stop()


class NotebookBars:
    """Bars under a notebook's cell.

    Args:
        display: IPython's, which shows an object and returns a handle by which it is replaced.
        clock: Returns seconds.
    """

    def __init__(self, display: Callable[..., Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._display, self._clock = display, clock
        self._handles: dict[str, Any] = {}
        self._begun: dict[str, tuple[float, int]] = {}
        self._next = 0.0

    def show(self, label: str, unit: str, done: int, total: int) -> None:
        """Show how far a piece of work is."""
        now = self._clock()
        if label not in self._handles:
            self._begun[label] = now, done
            self._handles[label] = self._display({"text/html": ""}, raw=True, display_id=True)
        elif now < self._next and done < total:
            return
        self._next = now + _BETWEEN
        self._handles[label].update({"text/html": self._html(label, unit, done, total, now)}, raw=True)

    def close(self) -> None:
        """Leave the bars as they are."""

    def _html(self, label: str, unit: str, done: int, total: int, now: float) -> str:
        start, first = self._begun[label]
        rate = (done - first) / (now - start) if now > start else 0
        left = f", {duration((total - done) / rate)} left" if rate and done < total else ""
        bar = f'<progress value="{done}" max="{total}" style="width:16em;vertical-align:middle"></progress>'
        return f"<div>{text(label)} {bar} {text(f'{count(done, total, unit)}{left}')}</div>"


def count(done: int, total: int, unit: str) -> str:
    """Return what is done of what: in units, or in percent where these have no name.

    Example:
        >>> count(30, 40, "steps"), count(30, 40, "")
        ('30/40 steps', '75 %')
    """
    return f"{done}/{total} {unit}" if unit else f"{100 * done // max(1, total)} %"


def rate(value: float | None) -> str:
    """Return a rate in units a second; the empty text for none.

    Example:
        >>> rate(12.345), rate(1234), rate(None)
        ('12.3/s', '1234/s', '')
    """
    return "" if not value else f"{value:.3g}/s" if value < 100 else f"{value:.0f}/s"


class _Computed(ProgressColumn):
    """A column whose text is a function of the task."""

    def __init__(self, words: Callable[[Task], str]) -> None:
        super().__init__()
        self._words = words

    def render(self, task: Task) -> Text:
        """Return the column's text."""
        return Text(self._words(task), no_wrap=True)


def _left(task: Task) -> str:
    if task.finished_time is not None:
        return f"in {duration(task.finished_time)}"
    return "" if task.time_remaining is None else f"{duration(task.time_remaining)} left"


def _done(task: Task) -> str:
    return count(int(task.completed), int(task.total), task.fields["unit"]) if task.total else ""


_COLUMNS = (
    TextColumn("{task.description}", markup=False),
    BarColumn(bar_width=20),
    _Computed(_done),
    _Computed(lambda task: rate(task.finished_speed or task.speed) if task.fields["unit"] else ""),
    _Computed(_left),
)
