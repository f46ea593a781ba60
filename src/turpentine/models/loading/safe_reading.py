"""What all ways to read a model share: no pickle, one sentence for every fault of a library, names without weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError, safe_open

from turpentine.core.errors import ModelNotFound, TurpentineError, UnsafeFile
from turpentine.core.safe_text import one_line

NoNetwork: type[Exception] = HfHubHTTPError.__mro__[1]
"""The base of all errors of the hub's HTTP library: that library's name changes with releases of the hub's client."""

_FAULTS = (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError, NoNetwork)
_ADAPTERS = "adapter_config.json"
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


def check_names(folder: Path) -> None:
    """Check what the small files of a network's folder name, before a library reads what they name.

    An index names the files of a network in parts, a config may name a file of weights, adapters name another model;
    and transformers reads whatever they name, a pickle elsewhere on the disk too.

    Args:
        folder: Of one network.

    Raises:
        UnsafeFile: They name something that is no .safetensors file in the folder itself, or there are adapters.
        ModelNotFound: One of them cannot be read.
    """
    for index in indexes(folder):
        shard_names(index)
    if (folder / "config.json").is_file():
        named = _content(folder / "config.json").get("transformers_weights")
        if named is not None and not (_is_plain(named, ".safetensors") or _is_plain(named, ".safetensors.index.json")):
            raise UnsafeFile(_names_something_else(folder / "config.json", named))
    if (folder / _ADAPTERS).is_file():
        raise UnsafeFile(
            f"{one_line(str(folder))} holds adapters ({_ADAPTERS}), whose base may be any other model: merge them into "
            "the network's weights, or take them out of the folder."
        )


def indexes(folder: Path) -> list[Path]:
    """Return the indexes of a network in parts, of all its variants, but none of pickles, which nothing reads."""
    return [path for path in sorted(folder.glob("*.safetensors.index*.json")) if not path.name.startswith(".")]


def shard_names(index: Path) -> list[str]:
    """Return the files that an index names, each once.

    Raises:
        UnsafeFile: One is no .safetensors file in the index's own folder.
        ModelNotFound: It is no index.
    """
    names = _content(index).get("weight_map")
    if not isinstance(names, dict):
        raise ModelNotFound(f"{one_line(str(index))} has no map of weights: get a whole copy.")
    for name in names.values():
        if not _is_plain(name, ".safetensors"):
            raise UnsafeFile(_names_something_else(index, name))
    return sorted(set(names.values()))


def _content(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, empty where it holds another value."""
    with clear_errors(f"{one_line(str(path))} cannot be read"):
        content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _is_plain(name: Any, suffix: str) -> bool:
    """Return whether a name is that of a file of a kind, with no way to another folder on any system."""
    return isinstance(name, str) and name.endswith(suffix) and not any(mark in name for mark in "/\\:\0")


def _names_something_else(path: Path, name: Any) -> str:
    return (
        f"{one_line(str(path))} names {one_line(str(name))!r}, and only .safetensors files in its own folder are read: "
        "get the model's whole folder from where it was published."
    )


@contextmanager
def clear_errors(sentence: str) -> Iterator[None]:
    """Turn a library's error into one sentence with its first line; ours pass as they are."""
    try:
        yield
    except TurpentineError:
        raise
    except Exception as error:
        if not isinstance(error, _FAULTS) and type(error) is not Exception:  # which tokenizers raises as it is
            raise
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
