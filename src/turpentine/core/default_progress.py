"""Progress where a caller in Python gives no function for it: bars in a terminal or a notebook, and none elsewhere.

They are switched off by `turpentine.set_progress_bars(False)`, by TURPENTINE_PROGRESS=0 in the environment, or for one
call by `progress=False`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from turpentine.core.bars import Bars

SWITCH = "TURPENTINE_PROGRESS"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_OFF = {"0", "off", "no", "false"}
_switch: dict[str, bool] = {}
_is_inside: ContextVar[bool] = ContextVar("is_inside", default=False)
"""Whether a public call is under way: what it calls itself shows no bars of its own."""


def set_progress_bars(on: bool) -> None:
    """Show bars of progress in Python, or do not, whatever the environment says.

    Example:
        >>> import turpentine as tp
        >>> tp.set_progress_bars(False)

    Args:
        on: False for none. A function that is given to a call as `progress` is called all the same.
    """
    _switch["on"] = on


def shows_progress(
    label: str = "", unit: str = ""
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a method that takes a function `progress(done, total)`: without one it shows a bar.

    Args:
        label: What is done; the name of the method's class by default.
        unit: What is counted, in the plural; the class's attribute `unit` by default, and percent where it has none.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(function)
        def called(*positional: Arguments.args, **named: Arguments.kwargs) -> Result:
            cls = type(positional[0])
            labels = {"": (label or cls.__name__, unit or str(getattr(cls, "unit", "")))}
            with _progress(named.get("progress"), labels, lambda phases: partial(phases, "")) as progress:
                return function(*positional, **{**named, "progress": progress})

        return called

    return decorate


def shows_phases(
    labels: Mapping[str, tuple[str, str]],
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function that takes a function `progress(phase, done, total)`: without one it shows bars.

    Args:
        labels: Label and unit of each phase by its name.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(function)
        def called(*positional: Arguments.args, **named: Arguments.kwargs) -> Result:
            with _progress(named.get("progress"), labels, lambda phases: phases) as progress:
                return function(*positional, **{**named, "progress": progress})

        return called

    return decorate


def takes_progress(function: Callable[..., Any]) -> bool:
    """Return whether a function has a keyword `progress`."""
    return "progress" in inspect.signature(function).parameters


@contextmanager
def _progress(
    given: Any, labels: Mapping[str, tuple[str, str]], adapted: Callable[[Callable[..., None]], Callable[..., None]]
) -> Iterator[Any]:
    """Yield the caller's function, or one that shows bars, or None."""
    make = None if given or given is False or _is_inside.get() else _bars()
    token = _is_inside.set(True)
    try:
        if make is None:
            yield given or None
            return
        from turpentine.core.bars import PhaseBars

        phases = PhaseBars(labels, make)
        try:
            yield adapted(phases)
        finally:
            phases.close()
    finally:
        _is_inside.reset(token)


def _bars() -> Callable[[], Bars] | None:
    """Return what makes bars where this process runs, None for nowhere to show them or where they are off."""
    if not _switch.get("on", os.environ.get(SWITCH, "").strip().lower() not in _OFF):
        return None
    display = _notebook_display()
    if display is not None:
        from turpentine.core.bars import NotebookBars

        return partial(NotebookBars, display)
    if not (sys.stderr and sys.stderr.isatty()):
        return None
    from turpentine.core.bars import TerminalBars

    return TerminalBars


def _notebook_display() -> Callable[..., Any] | None:
    """Return IPython's `display` in a notebook, None elsewhere; nothing is imported for the question."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    display: Callable[..., Any] = importlib.import_module("IPython.display").display
    return display
