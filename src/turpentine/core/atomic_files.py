"""Write files so that they appear whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from turpentine.core.hashing import digest
from turpentine.core.processes import began, is_running, machine

_LONGEST = 150
_LEFT = re.compile(r"\.part-(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-(?P<began>\d+)-[0-9a-f]{8}-(?P<name>.*)", re.DOTALL)


@contextmanager
def write_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file in one step: a reader sees the old file or the new one, never a part.

    The `with` block gets the path of a temporary file in a hidden folder beside. When the block ends well, that file
    is flushed to the disk and renamed to `path`; after an error or a kill, `path` is as it was.

    Args:
        path: The file to write; missing folders above it are created.

    Raises:
        OSError: The disk is full, permission is denied, or another error of the file system.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with write_whole(f"{folder}/scores.json") as partial:
        ...         _ = partial.write_text("{}")
        ...     Path(folder, "scores.json").read_text()
        '{}'
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = reserve(target)
    try:
        partial = aside / target.name
        partial.touch()
        yield partial
        _flush(partial)
        os.replace(partial, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _flush_folder(target.parent)


def write_text_whole(path: str | os.PathLike[str], text: str) -> Path:
    """Write a text as a file in UTF-8, whole or not at all, and return the file's path.

    Args:
        path: The file to write; missing folders above it are created.
        text: Its content.

    Raises:
        OSError: As `write_whole` says.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text_whole(f"{folder}/scores.json", "{}").read_text()
        '{}'
    """
    with write_whole(path) as aside:
        aside.write_text(text, encoding="utf-8")
    return Path(path)


def link_whole(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Put a file into a second place, whole: by a link, or by a copy where the file system knows no links.

    Args:
        source: The file.
        target: The second place; a file that is there is replaced.

    Raises:
        OSError: As the file system does.
    """
    with write_whole(target) as aside:
        try:
            aside.unlink()
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)


def reserve(target: Path) -> Path:
    """Make a hidden folder beside a target, to write that in first; its name says who does, and what.

    What an ended writer leaves of it `discard` removes.
    """
    name = target.name if target.name.isascii() and len(target.name) <= _LONGEST else digest(target.name)[:16]
    pid = os.getpid()
    owner = f"{_machine_name()}-{pid}-{began(pid) or 0}-{secrets.token_hex(4)}"
    folder = target.with_name(f".part-{owner}-{name}")
    folder.mkdir()
    return folder


def discard(folder: str | os.PathLike[str], *patterns: str) -> None:
    """Remove files from a folder, and then the folder if nothing is left in it.

    What a kill left of such files goes too; what a process is writing now, and all that is of others, stays.

    Args:
        folder: Where; nothing happens if there is none.
        patterns: Of names, such as "*.safetensors".
    """
    folder = Path(folder)
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        left = _LEFT.fullmatch(path.name)
        if any(fnmatchcase(left["name"] if left else path.name, pattern) for pattern in patterns):
            if left is None:
                path.unlink(missing_ok=True)
            elif not _may_run(left):
                shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # something is in it
        folder.rmdir()


def _may_run(left: re.Match[str]) -> bool:
    """Return whether the writer of an unfinished file may be at it: one of another machine may."""
    since = None if left["began"] == "0" else left["began"]
    return left["machine"] != _machine_name() or is_running(int(left["pid"]), since)


def _machine_name() -> str:
    return digest(machine())[:8]


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut; Windows cannot open a folder, and needs no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
