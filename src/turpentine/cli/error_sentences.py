"""Errors as one sentence. One that is neither ours nor the machine's is a bug, and its traceback is shown."""

from __future__ import annotations

import errno

from cyclopts import CycloptsError

from turpentine.cli.terminal import plain
from turpentine.core.errors import TurpentineError
from turpentine.core.oom import is_out_of_memory, requested_memory

REFUSED = 2
INTERRUPTED = 130
PIPE_CLOSED = 1  # as rich has it, which notices first where it writes

_FULL = {errno.ENOSPC, errno.EDQUOT}
_LESS = "take a smaller --batch-size (explain: --rows; bench: --set drawing.batch_size=), or a smaller model"
_FULL_TEXT = "No space left on device"


def sentence(error: BaseException) -> str:
    """Return what went wrong and what to do, as a sentence.

    Raises:
        BaseException: The error itself, where it is not one that a user can put right.
    """
    if isinstance(error, TurpentineError):
        return plain(str(error))
    if isinstance(error, CycloptsError):
        return _usage(error)
    if _is_full_disk(error):
        return f"The disk is full{_place(error)}: make room, or choose another folder with --out."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{_place(error)}."
    if is_out_of_memory(error):
        return f"The memory ran out{_requested(error)}: {_LESS}."
    raise error


def _usage(error: CycloptsError) -> str:
    """Return what is wrong with the command line, and where to read how it should be."""
    text = plain(str(error))
    ended = text if text.endswith((".", "?", "!")) else f"{text}."
    return f"{ended} See {' '.join(['turpentine', *(error.command_chain or ())])} --help."


def _is_full_disk(error: BaseException) -> bool:
    """Return whether the disk is full; safetensors has an error of its own for that, with only a text."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return _FULL_TEXT in str(error)


def _requested(error: BaseException) -> str:
    more = requested_memory(error)
    return f" where {more} more were needed" if more else ""


def _place(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f" at {plain(str(name))}" if name else ""
