"""Detect out-of-memory errors, which torch reports in three ways."""

from __future__ import annotations

import re

from turpentine.core.formatting import file_size

_CPU = re.compile(r"can't allocate memory: you tried to allocate (\d+) bytes")
_GPU = re.compile(r"Tried to allocate ([\d.]+ [KMG]iB)")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out; on the CPU, torch has only a message for it, no type.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError())
        (True, False)
    """
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or bool(_CPU.search(str(error)))


def requested_memory(error: BaseException) -> str:
    """Return how much memory was requested when it ran out, such as `2.1 GB`; "" if the error does not say."""
    message = str(error)
    if match := _CPU.search(message):
        return file_size(int(match[1]))
    return match[1] if (match := _GPU.search(message)) else ""
