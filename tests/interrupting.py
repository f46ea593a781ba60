"""Ctrl-C at every point of some work: at each call and line of chosen files, as Python itself would handle it there."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

MOST, OFTEN = 1000, 3


def interruptions(work: Callable[[], object], *files: str) -> Iterator[bool]:
    """Do work again and again, interrupted at another point each time; yield whether Ctrl-C was passed on.

    Python handles a signal between two steps of the main thread, by calling the handler with the frame that runs. This
    does so when a line or a function of the files begins, point after point, until the work ends before the point; of a
    line that runs again and again, the first times.
    """
    for point in range(1, MOST):
        came, raised = _interrupted(work, point, files)
        if not came:
            return
        yield raised
    raise AssertionError(f"There are more than {MOST} points.")


def _interrupted(work: Callable[[], object], point: int, files: tuple[str, ...]) -> tuple[bool, bool]:
    """Return whether the point came, and whether KeyboardInterrupt did."""
    passed = 0
    times: Counter[tuple[Any, ...]] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal passed
        if not frame.f_code.co_filename.endswith(files):
            return None if event == "call" else trace
        times[frame.f_code, frame.f_lineno, event] += 1
        if times[frame.f_code, frame.f_lineno, event] <= OFTEN:
            passed += 1
            if passed == point:
                handler = signal.getsignal(signal.SIGINT)
                assert callable(handler)
                handler(signal.SIGINT, frame)
        return trace

    raised = True
    before = sys.gettrace()
    with suppress(KeyboardInterrupt):
        try:
            sys.settrace(trace)
            work()
            raised = False
        finally:
            sys.settrace(before)
    return passed >= point, raised
