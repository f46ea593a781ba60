"""A process that ends what a command leaves behind when it is killed outright; run as a script, it is that process."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Seconds between two looks at what runs.
_LOOK = 1.0


@contextmanager
def guarded(mark: str) -> Iterator[None]:
    """End all processes with a mark in their command line, and what they started, if this one dies in a `with` block.

    Args:
        mark: Text that no other process has in its command line, such as the name of a cluster's session.
    """
    line = [sys.executable, "-S", "-E", __file__, mark]
    guardian = subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        guardian.communicate(b"over")


def watch(mark: str) -> None:
    """Wait for a word on the standard input; where it closes without one, end what bears the mark."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    bearers = marked(mark)
    while not select.select([sys.stdin], [], [], _LOOK)[0]:
        bearers |= marked(mark)  # a process may give itself another name, and outlive the one that started it
    bearers |= marked(mark)
    if not sys.stdin.buffer.read():
        for pid, since in bearers.items():
            if running().get(pid, ("",))[0] == since:  # and is no later one of the same number
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)


def marked(mark: str) -> dict[int, str]:
    """Return the processes that bear a mark and all that they started, each with when it began."""
    table = running()
    chosen = {pid for pid, (_, _, line) in table.items() if mark in line} - {os.getpid(), os.getppid()}
    while more := {pid for pid, (_, parent, _) in table.items() if parent in chosen} - chosen - {os.getpid()}:
        chosen |= more
    return {pid: table[pid][0] for pid in chosen}


def running() -> dict[int, tuple[str, int, str]]:
    """Return when each process began, its parent and its command line."""
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(["ps", "-axo", "pid=,ppid=,lstart=,command="], capture_output=True, text=True).stdout
        rows = [line.split(None, 7) for line in listed.splitlines()]  # a time is five words
        return {int(row[0]): (" ".join(row[2:7]), int(row[1]), row[7]) for row in rows if len(row) == 8}
    table = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()  # a name may hold anything
                line = (folder / "cmdline").read_bytes().decode(errors="replace")
                table[int(folder.name)] = (fields[19], int(fields[1]), line)
    return table


if __name__ == "__main__":
    watch(sys.argv[1])
