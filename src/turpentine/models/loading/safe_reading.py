"""What all ways to read a model share: no pickle, one sentence for every fault of a library, names without weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HfHubHTTPError
from safetensors import safe_open

from turpentine.core.errors import ModelNotFound, TurpentineError, UnsafeFile
from turpentine.core.library_errors import first_line, is_of_the_machine, reason
from turpentine.core.safe_text import one_line

NoNetwork: type[Exception] = HfHubHTTPError.__mro__[1]
"""The base of all errors of the hub's HTTP library: that library's name changes with releases of the hub's client."""

_ADAPTERS = "adapter_config.json"
PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}

# The first bytes of the small text that stands for a file which Git LFS has not fetched.
_POINTER = b"version https://git-lfs"
# What macOS writes beside a file on a disk of another system begins so, and has the file's name and ending.
_SIDE_FILE = "._"


def pickle_refused(path: Path) -> str:
    """Return the error for a pickle, with the way out."""
    return (
        f"{one_line(str(path))} is a pickle, which could run any code: "
        "convert it to safetensors, or get the model's .safetensors files."
    )


def is_pointer(path: Path) -> bool:
    """Return whether a file is only Git LFS's pointer to what should be there."""
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def pointer_refused(path: Path) -> str:
    """Return the error for a pointer of Git LFS, with the way out."""
    return f"{one_line(str(path))} is a pointer of Git LFS and not the file itself: fetch it by git lfs pull."


def weight_files(folder: Path) -> list[Path]:
    """Return the .safetensors files of a folder, in order of name, without macOS's side files and LFS's pointers."""
    paths = sorted(folder.glob("*.safetensors"))
    return [path for path in paths if not path.name.startswith(_SIDE_FILE) and not is_pointer(path)]


def weight_names(path: Path) -> list[str]:
    """Return the names of the tensors in a safetensors file; the tensors are not read."""
    with safe_open(path, framework="np") as file:  # "pt" would import torch, which no name needs
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
    """Turn whatever a library raises into one sentence; our errors, and a full memory or disk, pass as they are.

    Args:
        sentence: Its beginning; the reason follows after a colon.

    Raises:
        ModelNotFound: The library has failed.
    """
    try:
        yield
    except TurpentineError:
        raise
    except Exception as error:
        if is_of_the_machine(error):
            raise
        raise ModelNotFound(f"{sentence}: {reason(error) or _what(error)}.") from error


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put a file's name before the sentence of one of our errors."""
    try:
        yield
    except TurpentineError as error:
        raise type(error)(f"{one_line(str(path))}: {error}") from error


def _what(error: Exception) -> str:
    """Return what a library says; an error about its own code is marked as such, since its text explains nothing."""
    text = first_line(error).rstrip(".")
    is_jargon = isinstance(error, AttributeError | LookupError | TypeError)
    return f"its content is not as the libraries expect it ({type(error).__name__}: {text})" if is_jargon else text
