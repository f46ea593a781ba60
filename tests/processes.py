"""Processes that begin with everything imported: a start costs little, and they are killed as any other.

They come from a server that has not begun to compute, and no thread is forked.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from turpentine.cli import main

CONTEXT = multiprocessing.get_context("forkserver")
# What is installed: up to Python 3.13 the server does not know the path of the tests, and passes over their modules.
CONTEXT.set_forkserver_preload(["turpentine.runs.worker", "turpentine.testing.toys", "turpentine.study.server"])


class Started:
    """Work in a process of its own, whose output is kept in files; its methods are those of `subprocess.Popen`.

    Args:
        folder: For the two files.
        work: What is done; a function of a module, since another process imports it.
        arguments: It is called with them.
    """

    def __init__(self, folder: Path, work: Callable[..., object], *arguments: Any) -> None:
        self._files = [folder / name for name in ("stdout", "stderr")]
        self._process = CONTEXT.Process(target=_work, args=(self._files, work, arguments))
        self._process.start()

    def poll(self) -> int | None:
        """Return the exit status, None before there is one; of a process that a signal ended, minus its number."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        assert self._process.pid is not None
        if self.poll() is None:
            os.kill(self._process.pid, number)

    def lines(self) -> list[str]:
        """Return the lines that were printed so far."""
        return self._files[0].read_text().splitlines() if self._files[0].exists() else []

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Wait for the end, and return what was printed and complained."""
        self._process.join(timeout)
        assert self.poll() is not None, "it does not end"
        out, err = (file.read_text() if file.exists() else "" for file in self._files)
        return out, err


def command_line(cwd: Path, tokens: Sequence[str]) -> None:
    """Run a command line in a folder; to be given to `Started`."""
    os.chdir(cwd)
    main(tokens)


def _work(files: list[Path], work: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
    for number, file in zip((1, 2), files, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    work(*arguments)
