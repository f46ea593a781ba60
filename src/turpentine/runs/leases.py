"""Leases on pieces of work, each held by one worker at a time; one runs out where its worker is gone.

File locks such as filelock's end with their process too, but count no deaths, and cannot be relied on in a folder that
several machines share.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from turpentine.core.processes import began, is_running, machine

EXPIRES = 60.0
"""Seconds without a sign of life after which a worker counts as gone."""


@dataclass(frozen=True)
class Lease:
    """The right to work on a key.

    Attributes:
        key: Of the work.
        deaths: Workers that were lost while they held it.
    """

    key: str
    deaths: int


class Leases:
    """Leases as files in a folder that all workers share.

    A lease is the file KEY.N, made in one step that only one worker can win. Where its holder is gone, the next one
    takes KEY.(N + 1): so no file is ever taken from under another, and N is how many were lost. A holder gives a sign
    of life by touching its file. It counts as gone at once if it ran on this machine and runs no more, and in any case,
    whatever its file holds, when that has not changed for `expires` seconds by the onlooker's own clock.

    Args:
        folder: For the files.
        expires: Seconds without a sign of life after which a worker counts as gone.
        clock: Returns seconds.
    """

    def __init__(self, folder: Path, expires: float = EXPIRES, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._expires, self._clock = folder, expires, clock
        self._held: dict[str, Path] = {}
        self._seen: dict[Path, tuple[int, float]] = {}
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None

    def take(self, key: str) -> Lease | None:
        """Take the lease on a key and return it; None if another worker holds it, or these leases are closed."""
        last = self._last(key)
        if last is not None and not self._is_gone(self._path(key, last)):
            return None
        deaths = 0 if last is None else last + 1
        path = self._path(key, deaths)
        if not _create(path):
            return None
        lease = Lease(key, deaths)
        self._held[key] = path
        if self._stop.is_set():  # by another thread, which gives back what it sees
            self.release(lease, done=False)
            return None
        self._beat()
        return lease

    def release(self, lease: Lease, done: bool) -> None:
        """Give a lease back.

        Args:
            lease: From `take`.
            done: Whether the work is finished, so that workers that were lost over it no longer count.
        """
        path = self._held.pop(lease.key, None)
        stale = self._of(lease.key) if done else []
        for each in [path, *stale]:
            if each is not None:
                each.unlink(missing_ok=True)

    def close(self) -> None:
        """Give all leases back, and stop the signs of life; any thread may, and none is taken from then on."""
        self._stop.set()
        for key in list(self._held):
            self.release(Lease(key, 0), done=False)
        if self._heart:
            self._heart.join()

    def _path(self, key: str, number: int) -> Path:
        return self._folder / f"{key}.{number}"

    def _of(self, key: str) -> list[Path]:
        return list(self._folder.glob(f"{key}.*"))

    def _last(self, key: str) -> int | None:
        return max((int(path.suffix[1:]) for path in self._of(key)), default=None)

    def _is_gone(self, path: Path) -> bool:
        try:
            changed = path.stat().st_mtime_ns
            holder = path.read_bytes()
        except OSError:
            return False  # given back this moment
        return _has_ended(holder) or self._is_silent(path, changed)

    def _is_silent(self, path: Path, changed: int) -> bool:
        """Return whether a lease showed no sign of life for too long."""
        before, since = self._seen.get(path, (None, 0.0))
        if before != changed:
            self._seen[path] = (changed, self._clock())
            return False
        return self._clock() - since > self._expires

    def _beat(self) -> None:
        if self._heart is None:
            heart = threading.Thread(target=self._keep_alive, daemon=True)
            heart.start()
            self._heart = heart  # last: a signal may come before, and what has not begun cannot be waited for

    def _keep_alive(self) -> None:
        while not self._stop.wait(self._expires / 4):
            for path in list(self._held.values()):
                with suppress(OSError):
                    os.utime(path)


def held(folder: Path, prefix: str, expires: float = EXPIRES) -> list[str]:
    """Return the names of leases whose holders are not known to be gone, by one look.

    The age of a sign of life is by the folder's own clock.

    Args:
        folder: Of the leases.
        prefix: Beginning of their keys.
        expires: Seconds without a sign of life after which a worker counts as gone.
    """
    paths = list(folder.glob(f"{prefix}*"))
    if not paths:
        return []
    with tempfile.NamedTemporaryFile(prefix=".part-", dir=folder) as file:
        now = os.stat(file.name).st_mtime
    return [path.name for path in paths if _is_held(path, now - expires)]


def _is_held(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime >= since and not _has_ended(path.read_bytes())
    except FileNotFoundError:
        return False  # given back this moment


def _create(path: Path) -> bool:
    """Make the lease's file with its content, unless there is one, and return whether that was done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(json.dumps({"machine": machine(), "pid": os.getpid(), "began": began(os.getpid())}))
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(aside)
    return True


def _has_ended(content: bytes) -> bool:
    """Return whether the holder ran on this machine and runs no more; false for a damaged lease."""
    try:
        holder = json.loads(content)
        return bool(holder["machine"] == machine()) and not is_running(holder["pid"], holder["began"])
    except (ValueError, LookupError, TypeError, OverflowError):
        return False
