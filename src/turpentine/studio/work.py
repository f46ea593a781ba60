"""Long work of the studio: one at a time, counted by rows of the denoiser, and stopped between two of its calls."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from turpentine.core.errors import BadArgument, TurpentineError
from turpentine.core.library_errors import is_full_disk, reason
from turpentine.core.oom import is_out_of_memory
from turpentine.core.safe_text import one_line
from turpentine.models import Model


class Stopped(KeyboardInterrupt):
    """A person stopped long work. It passes through the package as Ctrl-C does: what is finished stays on the disk."""


@dataclass(eq=False)
class LongWork:
    """Work under way.

    Args:
        name: Of the panel that it is for.
        total: Rows of the denoiser that it takes, about.
        done: Rows so far.
    """

    name: str
    total: int
    done: int = 0
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def stop(self) -> None:
        """Ask the work to stop before the next call of the denoiser."""
        self._stop.set()

    def facts(self) -> dict[str, Any]:
        """Return what the page shows of it."""
        return {"name": self.name, "done": self.done, "total": max(self.total, self.done)}

    @contextmanager
    def watching(self, *models: Model) -> Iterator[None]:
        """Count the rows of models inside a `with` block, and raise `Stopped` where it was asked for.

        Raises:
            Stopped: By the denoiser's next call.
        """
        hooks = [each.denoiser.register_forward_pre_hook(self._before, with_kwargs=True) for each in models]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _before(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._stop.is_set():
            raise Stopped
        self.done += len(next(each for each in (*args, *kwargs.values()) if hasattr(each, "shape")))


class Desk:
    """Where one job lies at a time, whichever window began it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.job: LongWork | None = None

    @contextmanager
    def begun(self, job: LongWork) -> Iterator[LongWork]:
        """Work on a job for a `with` block.

        Raises:
            BadArgument: Another one is under way.
        """
        with self._lock:
            if self.job is not None:
                raise BadArgument(f"The studio is at work on {self.job.name}: stop that, or wait until it is done.")
            self.job = job
        try:
            yield job
        finally:
            self.job = None

    def stop(self) -> None:
        """Stop what is under way, if anything is."""
        job = self.job
        if job is not None:
            job.stop()


def sentence(error: Exception) -> str:
    """Return what went wrong as the page says it; of a bug the terminal has the traceback.

    Example:
        >>> sentence(BadArgument("There is no prompt: write one."))
        'There is no prompt: write one.'
        >>> sentence(OSError(28, "No space left on device"))
        'The disk is full: make room, and try again.'
    """
    if isinstance(error, TurpentineError):
        return one_line(str(error))
    if is_full_disk(error):
        return "The disk is full: make room, and try again."
    if is_out_of_memory(error):
        return "The memory ran out: take fewer steps, or a smaller model."
    why = reason(error)
    if why is not None:
        return f"This cannot be done: {one_line(why)}."
    traceback.print_exception(error)
    return f"The studio failed at this ({type(error).__name__}); the terminal that it was started in says where."
