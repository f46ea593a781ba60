"""Memory that ran out: torch says so in three ways."""

from __future__ import annotations

import re

from turpentine.core.formatting import file_size

_CPU = re.compile(r"can't allocate memory: you tried to allocate (\d+) bytes")
_GPU = re.compile(r"Tried to allocate ([\d.]+ [KMG]iB)")


def ran_out(error: BaseException) -> bool:
    """Is it that there was no more memory? On the CPU torch has no error of its own for it, only a text."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or bool(_CPU.search(str(error)))


def wanted(error: BaseException) -> str:
    """How much more was asked for, such as `2.1 GB`; "" where that is not told."""
    text = str(error)
    if found := _CPU.search(text):
        return file_size(int(found[1]))
    return found[1] if (found := _GPU.search(text)) else ""
