"""One process to a folder: two studios in one would write over each other's state."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from turpentine.core.errors import BadArgument
from turpentine.core.processes import began, is_running, machine

FILE = "studio.lock"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Have a folder for oneself inside a `with` block; what a kill left of another one's claim is taken over.

    Raises:
        BadArgument: Another process works there, or the folder is a file.
        OSError: As the file system does.
    """
    if folder.exists() and not folder.is_dir():
        raise BadArgument(f"{folder} is a file: choose another folder with --out.")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    _take(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _take(path: Path) -> None:
    """Put this process's name into the file, at once and only where none is."""
    for _ in range(2):
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".lock") as own:
            json.dump([machine(), os.getpid(), began(os.getpid())], own)
            own.flush()
            try:
                os.link(own.name, path)
                return
            except FileExistsError:
                owner = _owner(path)
        if owner is not None:
            break
        path.unlink(missing_ok=True)
    raise BadArgument(
        f"Another studio works in {path.parent} (process {_owner(path) or 'unknown'}): end that one, or give another "
        "--out."
    )


def _owner(path: Path) -> int | None:
    """Return the process that has the folder, None where it ended."""
    try:
        where, pid, since = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return int(pid) if where != machine() or is_running(int(pid), since) else None
