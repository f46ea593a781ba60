"""Sealed files: safetensors whose every byte is accounted for.

The file's metadata holds one JSON record, the SHA-256 of each tensor, and the SHA-256 of all that itself, so that a
cut or a flipped bit anywhere is found on reading, and the tensor it hit is named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from turpentine.core.errors import EditError, NewerFormat
from turpentine.core.hashing import digest, digest_tensor
from turpentine.core.tensors import save_tensors

FORMAT = 1
_RECORD = "turpentine"
_SEAL = "sha256"


def write_sealed(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], record: Mapping[str, Any], kind: str
) -> None:
    """Write tensors and a JSON record to one safetensors file, whole or not at all.

    Args:
        path: Of the file.
        tensors: By name.
        record: As JSON has it.
        kind: Of file, such as "edit"; `read_sealed` reads no other.

    Raises:
        OSError: The file system refuses.
    """
    digests = {name: digest_tensor(tensor) for name, tensor in tensors.items()}
    content = {"kind": kind, "format": FORMAT, "record": record, "tensors": digests}
    # One entry: safetensors writes several in another order each time, and equal content should be equal bytes.
    save_tensors(path, tensors, {_RECORD: json.dumps({**content, _SEAL: digest(content)}, sort_keys=True)})


def read_sealed(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read and check a sealed file of a kind: its tensors, on the CPU, and its record.

    Args:
        path: Of the file.
        kind: As it was written.

    Raises:
        EditError: The file is missing, foreign, truncated or altered; the message names it and the tensor.
    """
    path = Path(path)
    with _opened(path, kind) as file:
        content = _content(path, file.metadata() or {}, kind)
        names = set(file.keys())
        tensors = {name: _checked(path, file, name, names, sha) for name, sha in content["tensors"].items()}
    return tensors, content["record"]


def is_foreign(path: str | os.PathLike[str]) -> bool:
    """Return whether this is a readable safetensors file without a record of ours."""
    if not Path(path).is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return _RECORD not in (file.metadata() or {})
    except (SafetensorError, ValueError):
        return False


def is_json(path: str | os.PathLike[str]) -> bool:
    """Return whether content is JSON: that begins with a brace; a safetensors file has zero bytes in its length."""
    if not Path(path).is_file():
        return Path(path).suffix == ".json"
    with Path(path).open("rb") as file:
        start = file.read(8)
    return start.lstrip().startswith(b"{") and b"\0" not in start


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[Any]:
    if not path.is_file():
        raise EditError(f"There is no {kind} at {path}: check the path.")
    try:
        file = safe_open(path, framework="pt")
    except (SafetensorError, ValueError) as error:
        raise EditError(_why_unreadable(path, kind)) from error
    with file:
        yield file


def _content(path: Path, metadata: Mapping[str, str], kind: str) -> dict[str, Any]:
    text = metadata.get(_RECORD)
    if text is None:
        raise EditError(f"{path} is a safetensors file but not a Turpentine {kind}: it carries no record of one.")
    content = _whole(text)
    if content is None:
        raise EditError(f"{path} is damaged or was altered: its record does not match its own checksum.")
    if content["format"] > FORMAT:
        raise NewerFormat(f"{path} has format {content['format']} and this Turpentine reads up to {FORMAT}: update it.")
    if content["kind"] != kind:
        raise EditError(f"{path} is a Turpentine {content['kind']} and no {kind}.")
    return content


def _whole(text: str) -> dict[str, Any] | None:
    """Return the content of a record, None where it does not match its own checksum."""
    try:
        content: dict[str, Any] = json.loads(text)
        return content if content.pop(_SEAL) == digest(content) else None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _checked(path: Path, file: Any, name: str, names: set[str], sha: str) -> Tensor:
    if name not in names:
        raise EditError(f"{path} is damaged or was altered: its tensor {name} is missing.")
    # A copy, because what safetensors gives may be a view of the file, which can change under us.
    tensor: Tensor = file.get_tensor(name).clone()
    if digest_tensor(tensor) != sha:
        raise EditError(f"{path} is damaged or was altered: its tensor {name} does not match its checksum.")
    return tensor


def _why_unreadable(path: Path, kind: str) -> str:
    """Return which tensor a cut file breaks off in, if its header can still be read."""
    try:
        cut = _first_cut(path)
    except (ValueError, LookupError, TypeError, AttributeError):
        cut = None
    if cut is None:
        return f"{path} is not a Turpentine {kind}, or is damaged: its safetensors header cannot be read."
    return f"{path} is truncated: it ends before its tensor {cut} does; get a whole copy."


def _first_cut(path: Path) -> str | None:
    """Return the first tensor that a cut file does not hold whole; safetensors only says that the file is bad."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        if length > size - 8:
            return None
        header = json.loads(file.read(length))
    ends = {name: entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"}
    missing = [name for name in ends if 8 + length + ends[name] > size]
    return min(missing, key=lambda name: ends[name], default=None)
