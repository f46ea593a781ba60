"""Writes in a thread of its own, one piece of work at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class AsyncWriter:
    """Writes one thing in the background while the next is computed.

    Use it as a context: what was put is done when the block ends, also after an error.

    Example:
        >>> with AsyncWriter() as writer:
        ...     writer.put(lambda: None, after=lambda: print("written"))
        written
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._last: tuple[Future[None], Callable[[], None]] | None = None

    def put(self, work: Callable[[], None], after: Callable[[], None]) -> None:
        """Run `work` in the background, and call `after` in this thread once it is done.

        It waits for the work that was put before, and passes on what that raises.

        Args:
            work: Writes something.
            after: Called once that is written.
        """
        before, self._last = self._last, (self._pool.submit(work), after)
        _finish(before)

    def settle(self) -> None:
        """Wait for the work that was put, and pass on what it raises."""
        last, self._last = self._last, None
        _finish(last)

    def __enter__(self) -> AsyncWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.settle()
        finally:
            self._pool.shutdown()


def _finish(put: tuple[Future[None], Callable[[], None]] | None) -> None:
    if put:
        future, after = put
        future.result()
        after()
