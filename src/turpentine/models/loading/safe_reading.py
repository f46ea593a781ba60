"""What all ways to read a model share: no pickle, one sentence for every fault of a library, names without weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError, safe_open

from turpentine.core.errors import ModelNotFound, TurpentineError
from turpentine.core.safe_text import one_line

NoNetwork: type[Exception] = HfHubHTTPError.__mro__[1]
"""The base of all errors of the hub's HTTP library: that library's name changes with releases of the hub's client."""

PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}


def pickle_refused(path: Path) -> str:
    """Return the error for a pickle, with the way out."""
    return (
        f"{one_line(str(path))} is a pickle, which could run any code: "
        "convert it to safetensors, or get the model's .safetensors files."
    )


def weight_names(path: Path) -> list[str]:
    """Return the names of the tensors in a safetensors file; the tensors are not read."""
    with safe_open(path, framework="pt") as file:
        return list(file.keys())


@contextmanager
def clear_errors(sentence: str) -> Iterator[None]:
    """Turn a library's error into one sentence with its first line; ours pass as they are."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError, NoNetwork) as error:
        raise ModelNotFound(f"{sentence}: {_first_line(error)}") from error


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put a file's name before the sentence of one of our errors."""
    try:
        yield
    except TurpentineError as error:
        raise type(error)(f"{one_line(str(path))}: {error}") from error


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(lines[0]) if lines else type(error).__name__
