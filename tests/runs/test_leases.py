from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from turpentine.runs.leases import Leases


def gone() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def as_of(path: Path, **changes: object) -> None:
    """Let a lease be of another holder."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_lease_is_one_workers_until_it_gives_it_back(tmp_path: Path) -> None:
    first, second = Leases(tmp_path), Leases(tmp_path)
    lease = first.take("a")
    assert lease is not None and lease.deaths == 0
    assert second.take("a") is None
    assert second.take("b") is not None
    first.release(lease, done=True)
    taken = second.take("a")
    assert taken is not None and taken.deaths == 0


def test_of_many_that_ask_at_once_one_gets_it(tmp_path: Path) -> None:
    crew = [Leases(tmp_path) for _ in range(20)]
    assert sum(leases.take("a") is not None for leases in crew) == 1


def test_who_ran_on_this_machine_and_runs_no_more_is_gone_at_once_and_counted(tmp_path: Path) -> None:
    for deaths in range(3):
        lease = Leases(tmp_path).take("a")
        assert lease is not None and lease.deaths == deaths
        as_of(tmp_path / f"a.{deaths}", pid=gone())
    last = Leases(tmp_path)
    lease = last.take("a")
    assert lease is not None and lease.deaths == 3
    last.release(lease, done=True)
    assert not list(tmp_path.iterdir())


def test_who_left_without_being_done_is_not_counted_and_those_before_still_are(tmp_path: Path) -> None:
    Leases(tmp_path).take("a")
    as_of(tmp_path / "a.0", pid=gone())
    for _ in range(3):
        leases = Leases(tmp_path)
        lease = leases.take("a")
        assert lease is not None and lease.deaths == 1
        leases.close()


def test_closed_leases_are_given_back_by_any_thread_and_none_is_taken_from_then_on(tmp_path: Path) -> None:
    leases, taken = Leases(tmp_path), 0
    thread = threading.Timer(0.02, leases.close)
    thread.start()
    while leases.take(f"{taken}-") is not None:
        taken += 1
    thread.join()
    assert taken and not list(tmp_path.iterdir())


def test_who_works_on_another_machine_is_gone_when_it_gives_no_sign_of_life(tmp_path: Path) -> None:
    now = 0.0
    assert Leases(tmp_path).take("a") is not None
    path = tmp_path / "a.0"
    as_of(path, machine="another", pid=gone())
    leases = Leases(tmp_path, expires=60, clock=lambda: now)
    for sign in range(5):
        os.utime(path, (sign, sign))
        assert leases.take("a") is None
        now += 59
        assert leases.take("a") is None
        now += 59
    assert leases.take("a") is not None


def test_a_holder_gives_signs_of_life_by_itself(tmp_path: Path) -> None:
    leases = Leases(tmp_path, expires=0.01)
    leases.take("a")
    os.utime(tmp_path / "a.0", (0, 0))
    while (tmp_path / "a.0").stat().st_mtime == 0:
        time.sleep(0.001)
    leases.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"machine": 1}', "\xff"])
def test_a_lease_that_is_not_whole_is_somebodys_until_it_gives_no_sign_of_life(tmp_path: Path, content: str) -> None:
    now = 0.0
    (tmp_path / "a.0").write_text(content, encoding="latin-1")
    leases = Leases(tmp_path, expires=60, clock=lambda: now)
    assert leases.take("a") is None
    now = 59
    assert leases.take("a") is None
    now = 61
    lease = leases.take("a")
    assert lease is not None and lease.deaths == 1


def test_who_runs_on_this_machine_and_gives_no_sign_of_life_is_gone_after_a_while(tmp_path: Path) -> None:
    now = 0.0
    assert Leases(tmp_path, expires=1e6).take("a") is not None
    leases = Leases(tmp_path, expires=60, clock=lambda: now)
    assert leases.take("a") is None
    now = 61
    assert leases.take("a") is not None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Nothing here tells when a process began.")
def test_a_process_that_got_the_number_of_one_that_is_gone_is_not_taken_for_it(tmp_path: Path) -> None:
    assert Leases(tmp_path).take("a") is not None
    as_of(tmp_path / "a.0", began="1")
    assert Leases(tmp_path).take("a") is not None
