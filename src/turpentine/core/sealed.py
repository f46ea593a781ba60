"""Sealed files: safetensors whose every byte is accounted for.

The file's metadata holds one JSON record, the SHA-256 of each tensor, and the SHA-256 of all that itself, so that a
cut or a flipped bit anywhere is found on reading, and the tensor it hit is named. What nobody wrote is found too: other
tensors or metadata, or the same content in other words. A seal finds damage; whoever forges a file can seal it anew.
"""

from __future__ import annotations

import errno
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
from turpentine.core.safe_text import one_line
from turpentine.core.tensors import save_tensors

FORMAT = 1
LARGEST_HEADER = 100_000_000
"""Bytes; safetensors reads no larger ones."""

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
        OSError: The file system refuses, or a folder has the file's name.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, f"There is a folder in the place of the {kind}'s file", os.fspath(path))
    digests = {name: digest_tensor(tensor) for name, tensor in tensors.items()}
    content = {"kind": kind, "format": FORMAT, "record": record, "tensors": digests}
    # One entry: safetensors writes several in another order each time, and equal content should be equal bytes.
    save_tensors(path, tensors, {_RECORD: _as_text({**content, _SEAL: digest(content)})})


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
        for name in sorted(names - tensors.keys()):
            raise _altered(path, f"its tensor {one_line(name)} is not in its record")
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


def _one_inside(folder: Path) -> str:
    """Return the end of a sentence that names a file in a folder, where one may be meant."""
    inside = sorted(folder.glob("*.safetensors"))
    return f", such as {one_line(str(inside[0]))}" if inside else ""


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[Any]:
    if path.is_dir():
        raise EditError(f"{one_line(str(path))} is a folder: give the file of the {kind}{_one_inside(path)}.")
    if not path.is_file():
        raise EditError(f"There is no {kind} at {one_line(str(path))}: check the path.")
    try:
        file = safe_open(path, framework="pt")
    except (SafetensorError, ValueError) as error:
        raise EditError(_why_unreadable(path, kind)) from error
    with file:
        yield file


def _content(path: Path, metadata: Mapping[str, str], kind: str) -> dict[str, Any]:
    text = metadata.get(_RECORD)
    if text is None:
        raise EditError(
            f"{one_line(str(path))} is a safetensors file but not a Turpentine {kind}: it carries no record of one."
        )
    content = _whole(text)
    if content is None:
        raise _altered(path, "its record does not match its own checksum")
    if not _is_sound(content):
        raise _altered(path, "its record is none that Turpentine writes")
    if content["format"] > FORMAT:
        raise NewerFormat(
            f"{one_line(str(path))} has format {content['format']} and this Turpentine reads up to {FORMAT}: update it."
        )
    if content["kind"] != kind:
        raise EditError(f"{one_line(str(path))} is a Turpentine {one_line(content['kind'])} and no {kind}.")
    if len(metadata) > 1 or not _is_canonical(_header(path)):
        raise _altered(path, "its header holds more than its record and its tensors")
    return content


def _whole(text: str) -> dict[str, Any] | None:
    """Return the content of a record, None where it does not match its own checksum, or is written otherwise."""
    try:
        content: dict[str, Any] = json.loads(text)
        is_whole = _as_text(content) == text and content.pop(_SEAL) == digest(content)
        return content if is_whole else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _is_sound(content: Mapping[str, Any]) -> bool:
    """Return whether a content whose checksum is right has the parts that ours have: anybody can compute one."""
    parts = {"kind": str, "format": int, "record": dict, "tensors": dict}
    is_typed = content.keys() == parts.keys() and all(isinstance(content[key], parts[key]) for key in parts)
    return is_typed and all(isinstance(sha, str) for sha in content["tensors"].values())


def _as_text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)


def _is_canonical(header: bytes) -> bool:
    """Return whether a header is written in the one way in which safetensors writes its content."""
    text = header.rstrip(b" ").decode()
    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")) == text


def _checked(path: Path, file: Any, name: str, names: set[str], sha: str) -> Tensor:
    if name not in names:
        raise _altered(path, f"its tensor {one_line(name)} is missing")
    try:
        # A copy, because what safetensors gives may be a view of the file, which can change under us.
        tensor: Tensor = file.get_tensor(name).clone()
        is_right = digest_tensor(tensor) == sha
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _altered(path, f"its tensor {one_line(name)} cannot be read") from error
    if not is_right:
        raise _altered(path, f"its tensor {one_line(name)} does not match its checksum")
    return tensor


def _altered(path: Path, why: str) -> EditError:
    return EditError(f"{one_line(str(path))} is damaged or was altered: {why}.")


def _why_unreadable(path: Path, kind: str) -> str:
    """Return which tensor a cut file breaks off in, if its header can still be read."""
    try:
        cut = _first_cut(path)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        cut = None
    if cut is None:
        return (
            f"{one_line(str(path))} is not a Turpentine {kind}, or is damaged: its safetensors header cannot be read."
        )
    return f"{one_line(str(path))} is truncated: it ends before its tensor {one_line(cut)} does; get a whole copy."


def _first_cut(path: Path) -> str | None:
    """Return the first tensor that a cut file does not hold whole; safetensors only says that the file is bad."""
    raw = _header(path)
    header = json.loads(raw)
    size = path.stat().st_size
    ends = {name: entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"}
    missing = [name for name in ends if 8 + len(raw) + ends[name] > size]
    return min(missing, key=lambda name: ends[name], default=None)


def _header(path: Path) -> bytes:
    """Return the header of a safetensors file; "" where it claims to be larger than the file or than any may be."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return b"" if length > min(path.stat().st_size - 8, LARGEST_HEADER) else file.read(length)
