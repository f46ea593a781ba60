"""Work that may fail for good: tried a few times, and then given up with a sentence that says why."""

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


def tried(work: Callable[[], Result], deaths: int = 0) -> Result:
    """What the work gives, after up to TRIES tries.

    deaths: how many tries ended a worker's life already. Raises GivenUp, at once for an error that says itself what is
    wrong, and passes on what lies with the machine: a full disk, no memory.
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


def once(work: Callable[[], Result], deaths: int = 0) -> Result:
    """What the work gives; whatever goes wrong is passed on."""
    return work()
