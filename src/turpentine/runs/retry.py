"""Retries: work is tried a few times, and then given up with a sentence that says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from turpentine.core.errors import TurpentineError
from turpentine.core.oom import is_out_of_memory
from turpentine.core.safe_text import one_line

TRIES = 3
"""The first, and two more."""

Result = TypeVar("Result")


class GivenUp(Exception):
    """The work fails whenever it is tried; the text is the reason."""


def with_retries(work: Callable[[], Result], deaths: int = 0) -> Result:
    """Return what `work` returns, calling it up to TRIES times.

    Args:
        work: What may fail.
        deaths: How many tries ended a worker's life already; they count.

    Raises:
        GivenUp: It fails each time, or once with a TurpentineError, which says itself what is wrong.
        OSError: What lies with the machine is passed on: a full disk, no memory.
    """
    for left in reversed(range(TRIES - deaths)):
        try:
            return work()
        except Exception as error:
            # What lies with the machine and not with the work stops the run.
            if isinstance(error, OSError) or is_out_of_memory(error):
                raise
            if left == 0 or isinstance(error, TurpentineError):
                raise GivenUp(one_line(f"{type(error).__name__}: {error}")) from error
    raise GivenUp(f"{deaths} workers were lost over it.")


def without_retries(work: Callable[[], Result], deaths: int = 0) -> Result:
    """Return what `work` returns, and pass on whatever it raises; `deaths` is for the signature of `with_retries`."""
    return work()
