"""Processes by the names that they leave in files: which machine they are on, which they are, and whether they run."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """Return an id of this machine since it was started, and of the part of it in which process numbers are unique."""
    facts = [platform.node()]
    with suppress(OSError):  # as Linux tells it
        facts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return " ".join(facts)


def is_running(pid: int, since: str | None) -> bool:
    """Return whether the process of this number still runs, and is not a later one of the same number."""
    return exists(pid) and began(pid) in (None, since)


def exists(pid: int) -> bool:
    """Return whether there is a process of this number."""
    if os.name == "nt":  # where the call below would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def began(pid: int) -> str | None:
    """Return when a process began, in ticks since the machine was started; None where that cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return fields.rpartition(")")[2].split()[19]  # what comes before is its name, which may hold anything
