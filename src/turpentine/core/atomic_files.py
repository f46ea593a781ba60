"""Files that appear whole, and text from outside made safe for a file name or a terminal."""

from __future__ import annotations

import os
import re
import tempfile
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UMASK = threading.Lock()
_NAME_LIMIT = 80
_DEVICE_NAMES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})


@contextmanager
def write_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path beside `path` to write to; when the block ends well, the file moves to `path` in one step.

    A reader sees the old file or the new one, never a part. After an error, or a kill, `path` is as it was.
    Folders above `path` are made. Raises OSError as the file system does (a full disk, no permission).

        with write_whole("scores.json") as aside:
            aside.write_text("{}")
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _reserve(target)
    try:
        yield aside
        _flush(aside)
        os.replace(aside, target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _flush_folder(target.parent)


def _reserve(target: Path) -> Path:
    """An empty file of its own beside `target`, with the same suffix: some writers choose a format by it."""
    handle, name = tempfile.mkstemp(prefix=".part-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    os.chmod(name, 0o666 & ~_umask())
    return Path(name)


def _umask() -> int:
    # The only way to read the umask is to set it, which two threads must not do at once.
    with _UMASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut; Windows cannot open a folder, and needs no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def safe_name(text: str) -> str:
    """Turn any text into a plain file name: lower case ASCII letters, digits, `.`, `_` and `-`, 1 to 80 characters.

    Never empty, hidden, a way to another folder, or a name that Windows keeps for a device.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9._-]+", "-", plain).strip("-._")[:_NAME_LIMIT].rstrip("-._")
    if not name or name.split(".")[0] in _DEVICE_NAMES:
        return f"x-{name}".rstrip("-")
    return name


def one_line(text: str) -> str:
    """Put text from outside on one line without control characters, so that it cannot move a terminal's cursor."""
    visible = "".join(" " if char.isspace() else char for char in text if char.isspace() or not _is_control(char))
    return " ".join(visible.split())


def _is_control(char: str) -> bool:
    # Cc: escapes and bells; Cf: marks that reverse the direction of text; Cs, Co, Cn: nothing to show.
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn"}
