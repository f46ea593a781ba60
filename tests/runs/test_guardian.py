"""What a command starts ends with it, however it ends; what other commands start does not."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys

import pytest
from waiting import wait_for

from turpentine.core.processes import exists
from turpentine.runs.backends import guardian

# A process that starts another one, which bears no mark.
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
print(os.getpid(), child.pid, flush=True)
time.sleep(60)
"""
COMMAND = f"""
import runpy, subprocess, sys
guarded = runpy.run_path({guardian.__file__!r})["guarded"]  # without the package, which takes seconds
started = []
for mark in sys.argv[1:]:
    line = [sys.executable, "-S", "-c", {PARENT!r}, mark]
    started.append(subprocess.Popen(line, stdout=subprocess.PIPE, start_new_session=True, text=True))
pids = [each.stdout.readline().split() for each in started]
with guarded(sys.argv[1]):
    print(*pids[0], *pids[1], flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_that_is_killed_takes_along_what_bears_its_mark_and_nothing_else(end: signal.Signals) -> None:
    marks = [f"session_{secrets.token_hex(8)}" for _ in range(2)]
    line = [sys.executable, "-c", COMMAND, *marks]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        *own, other, others_child = map(int, command.stdout.readline().split())
        command.send_signal(end)
    try:
        wait_for(lambda: not any(map(exists, own)))
        assert exists(other) and exists(others_child)
    finally:
        for pid in (other, others_child):
            os.kill(pid, signal.SIGKILL)


def test_a_command_that_ends_by_itself_ends_nothing() -> None:
    mark = f"session_{secrets.token_hex(8)}"
    with subprocess.Popen([sys.executable, "-S", "-c", PARENT, mark], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline().split()[1])
        with guardian.guarded(mark):
            pass
        assert process.poll() is None and exists(child)
        process.kill()
        os.kill(child, signal.SIGKILL)
