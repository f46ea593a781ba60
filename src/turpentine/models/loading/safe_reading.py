"""What all ways to read a model share: no pickle, one sentence for every fault of a library, names without weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import HfHubHTTPError
from safetensors import safe_open

from turpentine.core.errors import ModelNotFound, TurpentineError
from turpentine.core.library_errors import first_line, is_of_the_machine, reason
from turpentine.core.safe_text import one_line

NoNetwork: type[Exception] = HfHubHTTPError.__mro__[1]
"""The base of all errors of the hub's HTTP library: that library's name changes with releases of the hub's client."""

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


def _what(error: Exception) -> str:
    """Return what a library says; an error about its own code is marked as such, since its text explains nothing."""
    text = first_line(error).rstrip(".")
    is_jargon = isinstance(error, AttributeError | LookupError | TypeError)
    return f"its content is not as the libraries expect it ({type(error).__name__}: {text})" if is_jargon else text
