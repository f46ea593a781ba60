"""What libraries raise, as the end of a sentence: the one place that reads their messages."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping

from turpentine.core.oom import is_out_of_memory
from turpentine.core.safe_text import one_line

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FULL_TEXT = "No space left on device"

_NETWORK = ("httpx", "httpcore", "huggingface_hub", "requests", "urllib3")
_UNREACHABLE = re.compile(
    r"Name or service not known|Temporary failure in name resolution|nodename nor servname|getaddrinfo failed"
    r"|Connection refused|Network is unreachable|No route to host|[Cc]ouldn't connect to|Cannot send a request"
    r"|not fully cached locally|outgoing traffic has been disabled|offline mode is enabled|timed out",
)
_NO_DEVICE = re.compile(
    r"Found no NVIDIA driver|not compiled with CUDA|invalid device ordinal|No CUDA GPUs|CUDA driver version"
    r"|Invalid device string|Expected one of cpu, cuda"
)

# What the libraries raise under names of their own, by the library without the number of its generation.
_WHAT: Mapping[str, str] = {
    "safetensors": "a .safetensors file is damaged or is none",
    "safetensors_rust": "a .safetensors file is damaged or is none",
    "diffusers": "diffusers cannot read the model",
    "jinja": "a page cannot be made",
    "markupsafe": "a page cannot be made",
    "yaml": "a text is no YAML",
    "pyarrow": "a table's file cannot be read",
    "polars": "a table's file cannot be read",
    "PIL": "a picture cannot be read",
}


def reason(error: BaseException) -> str | None:
    """Return why a library failed, as a phrase of one line without a full stop; None if it is no fault of the input.

    Args:
        error: What was raised.

    Example:
        >>> reason(UnicodeDecodeError("utf-8", b"a\\xff", 1, 2, "invalid start byte"))
        'a text is not in UTF-8 (byte 1 is none of its)'
        >>> reason(ZeroDivisionError()) is None
        True
    """
    text = first_line(error)
    if is_unreachable(error):
        return "the Hugging Face hub cannot be reached from here"
    if isinstance(error, UnicodeDecodeError):
        return f"a text is not in UTF-8 (byte {error.start} is none of its)"
    if isinstance(error, UnicodeEncodeError):
        return "a text holds a sign that cannot be written"
    if isinstance(error, RuntimeError | AssertionError) and _NO_DEVICE.search(str(error)):
        return f"torch has no such device here ({_without_stop(text)})"
    library = next(filter(None, map(_WHAT.get, _libraries(error))), None)
    if library is not None:
        return f"{library} ({_without_stop(text)})"
    if set(_NETWORK) & set(_libraries(error)):
        return f"the Hugging Face hub refuses it ({_without_stop(text)})"
    if isinstance(error, OSError):
        return _without_stop(text)
    return None


def is_unreachable(error: BaseException) -> bool:
    """Return whether a library could not reach the network, or was not to."""
    chain = [error, error.__cause__, error.__context__]
    names = {type(each).__name__ for each in chain if each is not None}
    if names & {"ConnectError", "ConnectTimeout", "ReadTimeout", "OfflineModeIsEnabled", "LocalEntryNotFoundError"}:
        return True
    is_of_network = isinstance(error, OSError | RuntimeError | ValueError) or bool(
        set(_NETWORK) & set(_libraries(error))
    )
    return is_of_network and bool(_UNREACHABLE.search(str(error)))


def is_full_disk(error: BaseException) -> bool:
    """Return whether the disk is full; safetensors has an error of its own for that, with only a text."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return _FULL_TEXT in str(error)


def is_of_the_machine(error: BaseException) -> bool:
    """Return whether memory or the disk is full, which is not for the reader of a file to explain."""
    return is_out_of_memory(error) or is_full_disk(error)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank; the error's name where it has none."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(lines[0]) if lines else type(error).__name__


def _libraries(error: BaseException) -> list[str]:
    """Return the packages whose classes an error is of; httpx2 is httpx under a newer name."""
    packages = [kind.__module__.split(".")[0] for kind in type(error).__mro__]
    return [package.rstrip("0123456789") for package in packages if package != "builtins"]


def _without_stop(text: str) -> str:
    return text.rstrip(".")
