"""Plans run by name alone: models, methods and judges are loaded by what `plan.json` says of them."""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from processes import CONTEXT
from tiny import tiny_sd1
from waiting import wait_for

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, TurpentineError
from turpentine.core.processes import exists
from turpentine.erase.esd import ESD
from turpentine.judges import PictureStatistics
from turpentine.models import Model
from turpentine.runs import backends
from turpentine.runs.backends import local
from turpentine.runs.backends import ray as on_ray
from turpentine.runs.ledger import LedgerError
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.results import Results, compact
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec
from turpentine.runs.store import Store
from turpentine.tasks.cases import Case

PROTOCOL = Protocol(steps=1, guidance_scale=1.0, seeds=(0, 1), batch_size=2)
QUICK = ESD(steps=2, trajectories=1, sampling_steps=2, window=(0.0, 0.5))
RAY = """
import sys
from turpentine.runs import backends
from turpentine.runs.store import Store
address, folder, workers = sys.argv[1:]
store = Store(folder)
print(backends.run(store.planned()[0], store, backend="ray", workers=int(workers), address=address).sha256)
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """An unedited and an edited line of a tiny model in a folder."""
    folder = tmp_path_factory.mktemp("model")
    tiny_sd1().save_pretrained(folder)
    source = ModelSpec.of(Model(tiny_sd1()), str(folder), "cpu")
    cases = [Case("object", thing, f"a {thing}") for thing in ("church", "dog", "cat", "car", "fish", "horn")]
    judges = [JudgeSpec.of(PictureStatistics())]
    edited = Condition.edited(source, QUICK, [Concept("church")], cases, PROTOCOL, judges, "esd-x")
    return Plan([Condition(source, tuple(cases), PROTOCOL, tuple(judges)), edited])


@pytest.fixture(scope="module")
def alone(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The results of one worker, in this process."""
    return backends.run(plan, Store(tmp_path_factory.mktemp("alone")), threads=1)


def test_a_run_leaves_its_results_and_no_trace_of_how_it_worked(plan: Plan, alone: Results) -> None:
    folder = alone.path.parent
    assert (alone.rows, alone.errors, alone.first_error) == (24, 0, None)
    assert not list((folder / "leases").iterdir())
    assert not list(folder.rglob("*.checkpoint")) + list(folder.rglob(".part-*"))
    made = Store(folder).edits.record(plan.edit_specs[0])
    assert made is not None and (made.method, made.concepts, made.error) == ("ESD", ["church"], None)
    assert made.bytes == (folder / "edits" / made.file).stat().st_size


def test_several_processes_give_the_same(plan: Plan, alone: Results, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    results = backends.run(plan, Store(tmp_path), workers=2, threads=1, progress=lambda *now: told.append(now))
    assert results.sha256 == alone.sha256
    assert told[-2:] == [("pictures", 24, 24), ("edits", 1, 1)]


def test_a_process_may_join_by_the_folder_alone(plan: Plan, alone: Results, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin(plan, threads=1)
    process = CONTEXT.Process(target=backends.worker, args=(tmp_path,))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    assert not store.missing(plan)
    assert backends.run(plan, store).sha256 == alone.sha256


def test_a_folder_without_a_plan_cannot_be_joined(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No bench was begun in"):
        backends.worker(tmp_path)


def test_settings_out_of_range_are_errors_before_any_work(plan: Plan, alone: Results, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for settings, said in (
        ({"workers": 0}, "workers is 0"),
        ({"threads": 0}, "threads 0"),
        ({"address": "here"}, "has no address"),
    ):
        with pytest.raises(BadArgument, match=said):
            backends.run(plan, store, **settings)  # type: ignore[arg-type]
    assert not store.folder.exists()
    with pytest.raises(BadArgument, match="begun with 1 threads"):
        backends.run(plan, Store(alone.path.parent), threads=2)


def test_a_model_that_is_not_there_stops_the_run_with_its_own_sentence(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "get_context", lambda _: CONTEXT)
    gone = replace(plan.conditions[0], source=replace(plan.conditions[0].source, load=str(tmp_path / "gone")))
    with pytest.raises(Exception, match="no model at"):
        backends.run(Plan([gone]), Store(tmp_path / "store"), workers=2)


def test_by_default_the_number_of_workers_decides_nothing(
    plan: Plan, alone: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "get_context", lambda _: CONTEXT)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        settled = []
        for workers in (1, 2):
            folder = shutil.copytree(alone.path.parent, tmp_path / str(workers))
            (folder / "plan.json").unlink()
            backends.run(plan, Store(folder), workers=workers)
            settled.append(Store(folder).planned()[1])
    finally:
        torch.set_num_threads(before)
    assert settled == [4, 4]


def test_a_folder_where_another_bench_is_at_work_is_refused_until_that_has_ended(
    plan: Plan, alone: Results, tmp_path: Path
) -> None:
    folder = shutil.copytree(alone.path.parent, tmp_path / "store")
    store, other = Store(folder), Plan(plan.conditions[:1])
    with store.at_work(plan):
        before = (folder / "plan.json").read_bytes()
        with pytest.raises(BadArgument, match=r"Another bench is at work in .*store: let it end"):
            backends.run(other, Store(folder))
        assert (folder / "plan.json").read_bytes() == before
        assert backends.run(plan, Store(folder)).sha256 == alone.sha256
    assert backends.run(other, Store(folder)).rows == 12
    assert not list(store.leases.iterdir())


def test_who_was_at_work_and_is_gone_keeps_nobody_out(plan: Plan, alone: Results, tmp_path: Path) -> None:
    folder = shutil.copytree(alone.path.parent, tmp_path / "store")
    store = Store(folder)
    for change in ({"began": "0"}, {"machine": "another"}):
        with store.at_work(plan):
            (lease,) = store.leases.iterdir()
            lease.write_text(json.dumps({**json.loads(lease.read_text()), **change}))
            os.utime(lease, (0, 0) if "machine" in change else None)
            assert backends.run(Plan(plan.conditions[:1]), Store(folder)).rows == 12


def test_workers_that_are_frozen_or_told_to_end_are_replaced_and_the_run_ends(
    plan: Plan, alone: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "get_context", lambda _: CONTEXT)
    store, disturbed = Store(tmp_path), []
    store.begin(plan, threads=1)

    def disturb() -> None:
        for number in (signal.SIGSTOP, signal.SIGTERM):
            fresh: set[int] = set()
            while not fresh and store.missing(plan):
                fresh = holders(store) - set(disturbed)
            for pid in sorted(fresh)[:1]:
                os.kill(pid, number)
                disturbed.append(pid)

    thread = threading.Thread(target=disturb)
    thread.start()
    local.run_processes(plan, store, 2, None, expires=1.0)
    thread.join()
    assert len(disturbed) == 2 and not any(map(exists, disturbed))
    assert compact(plan, store).sha256 == alone.sha256


def test_a_worker_that_is_frozen_at_the_end_does_not_keep_the_command(
    plan: Plan, alone: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "get_context", lambda _: CONTEXT)
    monkeypatch.setattr(local, "_GRACE", 0.2)
    store = Store(shutil.copytree(alone.path.parent, tmp_path / "store"))
    with local._Crew(store.folder, 1, 60) as crew:
        pid = crew._members[0].process.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
    assert not exists(pid)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_a_command_whose_worker_is_frozen(
    plan: Plan, alone: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(local, "get_context", lambda _: CONTEXT)
    monkeypatch.setattr(local, "_GRACE", 0.2)
    store = Store(shutil.copytree(alone.path.parent, tmp_path / "store"))
    if times == 2:  # the second while it waits for the workers after the first
        monkeypatch.setattr(local, "_wait", lambda _: signal.raise_signal(signal.SIGINT))
    frozen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        freeze_and_interrupt(store.folder, frozen)
    assert frozen and not any(map(exists, frozen))


def test_workers_that_are_ended_again_and_again_are_given_up_with_the_truth(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(local._Crew):
        def replace_lost(self) -> list[int]:
            return [local._INTERRUPTED] * 3

        def is_working(self) -> bool:
            return True

    monkeypatch.setattr(local, "get_context", lambda _: CONTEXT)
    monkeypatch.setattr(local, "_Crew", Ended)
    monkeypatch.setattr(Store, "missing", lambda self, plan: list(plan.jobs))
    Store(tmp_path).begin(plan, threads=1)
    with pytest.raises(TurpentineError, match=r"\d+ workers were lost one after the other, the last by SIGTERM: .*end"):
        local.run_processes(plan, Store(tmp_path), 1, None)


@pytest.mark.parametrize("is_deaf", [False, True], ids=["in the midst of an edit", "deep in a computation"])
def test_orphans_end_when_their_parent_is_gone_and_give_back_what_they_hold(
    plan: Plan, tmp_path: Path, is_deaf: bool
) -> None:
    source, cases = plan.conditions[0].source, plan.conditions[0].cases
    slow = replace(QUICK, steps=100_000)
    judges = plan.conditions[0].judges
    edited = Condition.edited(source, slow, [Concept("church")], cases, PROTOCOL, judges, "esd-x")
    store = Store(tmp_path)
    store.begin(Plan([edited]), threads=1)
    parent = CONTEXT.Process(target=run_forked, args=(tmp_path, is_deaf))
    parent.start()
    wait_for(lambda: any(tmp_path.glob("edits/*.checkpoint")) or holders(store) != set())
    workers = holders(store)
    parent.kill()
    parent.join()
    wait_for(lambda: not any(map(exists, workers)) and not leases(store))  # nor another's, who took what they gave back
    assert workers


def freeze_and_interrupt(folder: Path, frozen: list[int]) -> None:
    """Begin to work with one worker, freeze it, and press Ctrl-C."""
    with local._Crew(folder, 1, 60) as crew:
        frozen += [member.process.pid or 0 for member in crew._members]
        os.kill(frozen[0], signal.SIGSTOP)
        signal.raise_signal(signal.SIGINT)


def run_forked(folder: Path, is_deaf: bool) -> None:
    """Run two workers that are forked from this process, which has everything imported and has not computed yet.

    Args:
        folder: Of the store.
        is_deaf: Whether they hear no signal, as in one long call of a library.
    """
    if is_deaf:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        local._GRACE = 0.2
    local.get_context = lambda _: multiprocessing.get_context("fork")  # type: ignore[assignment, misc]
    local.run_processes(Store(folder).planned()[0], Store(folder), 2, None)


def test_a_cluster_that_does_not_start_in_time_is_one_sentence(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy:
        @staticmethod
        def init(**_: object) -> None:
            raise Exception("The current node timed out during startup. This could happen because of anything.")

    monkeypatch.setattr(on_ray, "_ray", lambda: Busy)
    with pytest.raises(BadArgument, match=r"The Ray cluster at this machine cannot be joined \(The current node timed"):
        on_ray.run_on_ray(plan, Store(tmp_path), 1, None, None)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of two nodes on this machine, that wants a token: one a process, as Ray keeps it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        patch.setenv("RAY_worker_niceness", "0")  # else a worker starves beside whatever else the machine does
        pytest.importorskip("ray")  # which reads all of that
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 2, "object_store_memory": 80_000_000}
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        yield cluster.address
        cluster.shutdown()


def test_a_ray_cluster_of_two_nodes_loses_a_worker_and_the_driver_and_one_worker_ends_it_as_alone(
    cluster: str, plan: Plan, alone: Results, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    store.begin(plan, threads=1)
    driver = drive(cluster, tmp_path, 2)
    wait_for(lambda: holders(store) != set())
    os.kill(holders(store).pop(), signal.SIGKILL)
    wait_for(lambda: len(list((tmp_path / "draws").glob("*.parquet"))) >= 3)
    driver.kill()
    driver.wait()
    out, _ = drive(cluster, tmp_path, 1).communicate(timeout=240)
    assert out.strip() == alone.sha256


def drive(address: str, folder: Path, workers: int) -> subprocess.Popen[str]:
    """Start a process that works on a store with some workers."""
    line = [sys.executable, "-c", RAY, address, str(folder), str(workers)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True)


def leases(store: Store) -> list[Path]:
    """The leases on some work at this moment."""
    return list(store.leases.glob("[!p]*.*")) if store.leases.is_dir() else []


def holders(store: Store) -> set[int]:
    """Who holds a lease on some work at this moment."""
    found = set()
    for path in leases(store):
        with suppress(OSError, ValueError):
            found.add(int(json.loads(path.read_text())["pid"]))
    return found
