from __future__ import annotations

import os
import subprocess
import sys

from turpentine.core.processes import began, exists, is_running, machine


def test_a_process_runs_until_it_has_ended_and_is_not_another_of_its_number() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    since = began(child.pid)
    assert exists(child.pid) and is_running(child.pid, since)
    assert since is None or not is_running(child.pid, "1")
    child.communicate(b"\n")
    assert not exists(child.pid) and not is_running(child.pid, since) and began(child.pid) is None


def test_this_machine_has_one_name() -> None:
    assert machine() == machine() != "" and began(os.getpid()) == began(os.getpid())
