"""Work that no signal cuts in two: what a signal's handler raises is raised before it or after it, never within.

Python runs the handlers of signals in the main thread between any two steps of it, so Ctrl-C may come in the middle of
a `finally`, or at the end of a `with` block before the manager's own code has begun. Here the handlers wait.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import CodeType, FrameType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let signals wait inside a `with` block: their handlers run at its end. Other threads get none anyway.

    Example:
        >>> import signal
        >>> before = signal.signal(signal.SIGUSR1, lambda *_: print("signalled"))
        >>> with uninterrupted():
        ...     signal.raise_signal(signal.SIGUSR1)
        ...     print("done")
        done
        signalled
        >>> _ = signal.signal(signal.SIGUSR1, before)
    """
    is_held = _hold()
    try:
        yield
    finally:
        _release(is_held)


@contextmanager
def sigterm_interrupts() -> Iterator[Callable[[], int]]:
    """Treat SIGTERM as Ctrl-C inside a `with` block, so that what is done is kept; in the main thread only.

    The block gets a function that returns the number of the signal: SIGTERM's if one came in the block, else SIGINT's.

    Example:
        >>> import signal
        >>> with sigterm_interrupts() as interrupted_by:
        ...     try:
        ...         signal.raise_signal(signal.SIGTERM)
        ...     except KeyboardInterrupt:
        ...         print(128 + interrupted_by())
        143
    """
    before = _state.terminations

    def interrupted_by() -> int:
        return signal.SIGTERM if _state.terminations > before else signal.SIGINT

    if threading.current_thread() is not threading.main_thread():
        yield interrupted_by
        return
    handler = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield interrupted_by
    finally:
        signal.signal(signal.SIGTERM, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _state.terminations += 1
    if callable(signal.getsignal(signal.SIGINT)):
        signal.raise_signal(signal.SIGINT)  # who holds back a Ctrl-C, holds this back too
    else:
        raise KeyboardInterrupt


class Reverted(AbstractContextManager[T], Generic[T]):
    """A `with` block that does something at its start and undoes it at its end, whatever signals arrive and when.

    A generator with `contextmanager` misses its end if a signal's handler raises just before it. Here such a handler
    waits until all is undone; where it waited at the start, all is undone too.

    Args:
        value: What the block gets.
        do: Called at the start; where it raises, it leaves all as it was.
        undo: Called at the end, also after an error.

    Example:
        >>> with Reverted("paint", lambda: print("on"), lambda: print("off")) as value:
        ...     print(value)
        on
        paint
        off
    """

    def __init__(self, value: T, do: Callable[[], object], undo: Callable[[], object]) -> None:
        self._value, self._do, self._undo = value, do, undo
        self._is_counted = False

    def __enter__(self) -> T:
        is_held = _hold()
        try:
            self._do()
        except BaseException:
            _release(is_held)
            raise
        _state.blocks += is_held
        self._is_counted = is_held
        try:
            _release(is_held)
        except BaseException:  # of the handler of a signal that waited
            self.__exit__()
            raise
        return self._value

    def __exit__(self, *_: object) -> None:
        is_held = _hold()
        try:
            self._undo()
        finally:
            _state.blocks -= self._is_counted
            _release(is_held)


class _State:
    """What the main thread knows of signals that wait."""

    def __init__(self) -> None:
        self.depth = 0  # pieces of work that are under way
        self.blocks = 0  # `Reverted` blocks that are open
        self.waiting: dict[int, None] = {}
        self.handlers: dict[int, Handler] = {}
        self.terminations = 0  # SIGTERMs that were treated as Ctrl-C


_state = _State()


def _hold() -> bool:
    """Begin work that signals wait for, and return whether this is the thread that they come to."""
    if threading.current_thread() is not threading.main_thread():
        return False
    before = _state.depth
    try:
        _state.depth = before + 1
        for number in () if before else signal.valid_signals():
            handler = signal.getsignal(number)
            if callable(handler) and handler is not _wait_or_handle:
                _state.handlers[number] = handler
                signal.signal(number, _wait_or_handle)
    except BaseException:  # a signal came before it was held
        _state.depth = before
        raise
    return True


def _release(is_held: bool) -> None:
    """End work that signals waited for, and run the handlers of those that came; put them back if no block is open."""
    if not is_held:
        return
    _state.depth -= 1
    if _state.depth:
        return
    for number, handler in () if _state.blocks else _state.handlers.items():
        if signal.getsignal(number) is _wait_or_handle:
            signal.signal(number, handler)
    while _state.waiting:
        number, _ = _state.waiting.popitem()
        _state.handlers[number](number, sys._getframe())


def _wait_or_handle(number: int, frame: FrameType | None) -> None:
    """Note a signal during work, or at the very start or end of a block; else handle it."""
    if _state.depth or _is_critical(frame):
        _state.waiting[number] = None
    else:
        _state.handlers[number](number, frame)


def _is_critical(frame: FrameType | None) -> bool:
    """Return whether this runs at the start or the end of a block."""
    while frame is not None:
        if frame.f_code in _CRITICAL:
            return True
        frame = frame.f_back
    return False


_CRITICAL: frozenset[CodeType] = frozenset({Reverted.__enter__.__code__, Reverted.__exit__.__code__})
