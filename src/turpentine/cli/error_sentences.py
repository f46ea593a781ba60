"""Errors as one sentence. One that is neither ours nor the machine's is a bug, and its traceback is shown."""

from __future__ import annotations

from cyclopts import CycloptsError

from turpentine.cli.terminal import plain
from turpentine.cli.usage_errors import usage_sentence
from turpentine.core.errors import SeveralFaults, TurpentineError
from turpentine.core.library_errors import is_full_disk, reason
from turpentine.core.oom import is_out_of_memory, requested_memory

REFUSED = 2
SIGNALLED = 128  # and the number of the signal, as shells have it
PIPE_CLOSED = 1  # as rich has it, which notices first where it writes

_LESS = "take a smaller --batch-size (explain: --rows; bench: --set drawing.batch_size=), or a smaller model"


def sentence(error: BaseException) -> str:
    """Return what went wrong and what to do, as a sentence; where several things are wrong, a line for each.

    Raises:
        BaseException: The error itself, where it is not one that a user can put right.
    """
    if isinstance(error, SeveralFaults):
        return "\n".join(map(plain, error.faults))
    if isinstance(error, TurpentineError):
        return plain(str(error))
    if isinstance(error, CycloptsError):
        return usage_sentence(error)
    if is_full_disk(error):
        return f"The disk is full{_place(error)}: make room, or choose another folder with --out."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{_place(error)}."
    if is_out_of_memory(error):
        return f"The memory ran out{_requested(error)}: {_LESS}."
    why = reason(error)
    if why is None:
        raise error
    return f"This cannot be done: {plain(why)}."


def _requested(error: BaseException) -> str:
    more = requested_memory(error)
    return f" where {more} more were needed" if more else ""


def _place(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f" at {plain(str(name))}" if name else ""
