"""Write files so that they appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UMASK = threading.Lock()


@contextmanager
def write_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file in one step: a reader sees the old file or the new one, never a part.

    The `with` block gets the path of a temporary file in the same folder. When the block ends well, that file is
    flushed to the disk and renamed to `path`; after an error or a kill, `path` is as it was.

    Args:
        path: The file to write; missing folders above it are created.

    Raises:
        OSError: The disk is full, permission is denied, or another error of the file system.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with write_whole(f"{folder}/scores.json") as partial:
        ...         _ = partial.write_text("{}")
        ...     Path(folder, "scores.json").read_text()
        '{}'
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _reserve(target)
    try:
        yield partial
        _flush(partial)
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush_folder(target.parent)


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


def _reserve(target: Path) -> Path:
    """Create an empty file in `target`'s folder with the same suffix, by which some writers choose a format."""
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
    """Make the rename itself survive a power cut; Windows cannot open a folder, and needs no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
