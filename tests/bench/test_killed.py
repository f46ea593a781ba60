"""Real workers, real signals: whatever happens to them, the results are the same, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from bench.crew import Bench, kill, lines, start
from waiting import wait_for

from turpentine.runs.results import compact
from turpentine.runs.store import Store

KILLS = 20


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="module")
def calm(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of a run that nothing has disturbed, in one process: this one."""
    store = Store(tmp_path_factory.mktemp("calm"))
    bench.worker(store).run()
    return compact(bench.plan, store).sha256


def outcome(bench: Bench, folder: Path) -> str:
    return compact(bench.plan, Store(folder)).sha256


def begun(process: BaseProcess, log: Path, batches: int) -> float:
    """Wait until the log knows of so many batches, or the process has ended, and give the seconds that this took."""
    start = time.monotonic()
    wait_for(lambda: len(lines(log)) >= batches or not process.is_alive())
    return time.monotonic() - start


def killed_until_done(folder: Path, log: Path, dice: random.Random, most: int) -> int:
    """Begin again and kill, at any point of a batch, until all is done; how often that was, which is no more than most.

    Points are told by what the process has done and by how long that took: a fast machine meets as many as a slow one.
    """
    for kills in range(most):
        before = len(lines(log))
        process = start(folder, log)
        # When the third batch is begun, the first is written: no batch meets as many kills as make it suspect.
        begun(process, log, before + 2)
        time.sleep(dice.uniform(0, begun(process, log, before + 3)))
        code = kill(process)
        if code != -signal.SIGKILL:
            assert code == 0
            return kills
    last = start(folder, log)
    last.join(120)
    assert last.exitcode == 0
    return most


def test_killed_at_twenty_points_it_repeats_only_what_was_in_flight(bench: Bench, calm: str, tmp_path: Path) -> None:
    dice, kills = random.Random(0), 0
    while kills < KILLS:
        store, log = tmp_path / f"store-{kills}", tmp_path / f"log-{kills}"
        killed = killed_until_done(store, log, dice, KILLS - kills)
        assert killed > 0
        assert outcome(bench, store) == calm
        # One batch may be drawn, and the one before it not yet written.
        assert len(bench.plan.jobs) < len(lines(log)) <= len(bench.plan.jobs) + 2 * killed
        kills += killed


def test_a_sigterm_gives_all_leases_back(bench: Bench, calm: str, tmp_path: Path) -> None:
    process = start(tmp_path, tmp_path / "log")
    wait_for(lambda: len(lines(tmp_path / "log")) > 2)
    assert kill(process, signal.SIGTERM) == 1
    assert not list((tmp_path / "leases").iterdir())
    bench.worker(Store(tmp_path)).run()
    assert outcome(bench, tmp_path) == calm


@pytest.mark.parametrize("workers", [2, 3])
def test_as_many_workers_as_one_likes_give_the_same_and_draw_nothing_twice(
    bench: Bench, calm: str, tmp_path: Path, workers: int
) -> None:
    crew = [start(tmp_path / "store", tmp_path / "log") for _ in range(workers)]
    for process in crew:
        process.join(120)
    assert [process.exitcode for process in crew] == [0] * workers
    assert outcome(bench, tmp_path / "store") == calm
    drawn = lines(tmp_path / "log")
    assert len(drawn) == len(set(drawn)) == len(bench.plan.jobs)


def test_where_a_worker_is_gone_another_does_its_work(bench: Bench, calm: str, tmp_path: Path) -> None:
    first, second = (start(tmp_path / "store", tmp_path / name) for name in ("first", "second"))
    wait_for(lambda: min(len(lines(tmp_path / name)) for name in ("first", "second")) > 1)
    kill(first)
    second.join(120)
    assert second.exitcode == 0
    assert outcome(bench, tmp_path / "store") == calm


def test_a_worker_that_is_frozen_counts_as_gone_after_a_while_and_does_no_harm_when_it_wakes(
    bench: Bench, calm: str, tmp_path: Path
) -> None:
    frozen = start(tmp_path, tmp_path / "log", expires=0.5)
    wait_for(lambda: len(lines(tmp_path / "log")) > 1)
    os.kill(frozen.pid, signal.SIGSTOP)
    for path in (tmp_path / "leases").iterdir():
        path.write_text(path.read_text().replace('"machine": "', '"machine": "another '))
    bench.worker(Store(tmp_path), expires=0.5).run()
    assert outcome(bench, tmp_path) == calm
    os.kill(frozen.pid, signal.SIGCONT)
    frozen.join(60)
    assert frozen.exitcode == 0
    assert outcome(bench, tmp_path) == calm


@pytest.mark.parametrize("limit", [600, 3000])
def test_a_full_disk_loses_no_row(bench: Bench, calm: str, tmp_path: Path, limit: int) -> None:
    process = start(tmp_path, limit=limit)
    process.join(60)
    assert process.exitcode == 1
    assert not list(tmp_path.rglob(".part-*"))
    bench.worker(Store(tmp_path)).run()
    assert outcome(bench, tmp_path) == calm
