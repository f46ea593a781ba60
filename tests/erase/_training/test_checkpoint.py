"""Runs that stop, are killed, and go on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from edits.weights import weights_hash
from processes import Started
from safetensors.torch import load_file
from tiny import tiny_sd1

from turpentine.concepts import Concept
from turpentine.core.parts import DamagedPart, Parts
from turpentine.edits import Edit
from turpentine.erase._training import training
from turpentine.erase._training.training import delayed_interrupt
from turpentine.erase.esd import ESD
from turpentine.models import Model, count_rows

CHURCH = Concept("church")
SETTINGS: dict[str, Any] = {"steps": 24, "batch_size": 2, "trajectories": 9, "sampling_steps": 3, "lr": 1e-3}
RUN = ESD(**SETTINGS)
SAMPLED = 2 * 3 * 9  # rows


@pytest.fixture(scope="module")
def whole(sd1: Model) -> Edit:
    """What a run that never stops gives."""
    return RUN(sd1, CHURCH)


SHORT = ESD(**{**SETTINGS, "steps": 8})


@pytest.fixture(scope="module")
def short(sd1: Model) -> Edit:
    """What a run of few updates gives."""
    return SHORT(sd1, CHURCH)


def erase_and_report(folder: Path) -> None:
    """What a process does that is to be stopped."""
    torch.set_num_threads(1)
    training.SECONDS_BETWEEN_SAVES, training.LARGEST_SHARE = 0.0, float("inf")
    try:
        RUN(Model(tiny_sd1()), CHURCH, progress=lambda done, _: print(done, flush=True), checkpoint=folder)
    except KeyboardInterrupt as stop:
        sys.exit(str(stop))


def _signal_child(folder: Path, at: int, number: int) -> tuple[int | None, str, int]:
    """Start the run, send it a signal when it reports `at` rows; its exit code, its complaint and its last report."""
    child = Started(folder.parent, erase_and_report, folder)
    while child.poll() is None and int((child.lines() or ["0"])[-1]) < at:
        time.sleep(0.005)
    child.send_signal(number)
    _, complaint = child.communicate()
    return child.poll(), complaint, int(child.lines()[-1])


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_run_that_is_killed_and_interrupted_gives_the_same_edit(sd1: Model, tmp_path: Path, whole: Edit) -> None:
    folder = tmp_path / "run"
    code, _, _ = _signal_child(folder, SAMPLED + 6 * 5, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert any("weight/" in name for path in folder.glob("*.safetensors") if path.is_file() for name in load_file(path))
    assert not list(folder.glob(".part-*")) or len(list(folder.glob(".part-*"))) == 1
    code, complaint, reached = _signal_child(folder, SAMPLED + 6 * 10, signal.SIGINT)
    assert code == 1
    updates = (reached - SAMPLED) // 6
    assert f"Stopped after {updates} of 24 updates; the same command goes on from {folder}." in complaint
    with count_rows(sd1) as count:
        edit = RUN(sd1, CHURCH, checkpoint=folder)
    assert 9 < updates < 24
    assert count.rows == (24 - updates) * 2  # nothing is sampled again, no update is done again
    assert edit == whole


def _save_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(training, "LARGEST_SHARE", float("inf"))


def _stopping(at: int, error: type[BaseException]) -> Any:
    def report(done: int, total: int) -> None:
        if done >= at:
            raise error

    return report


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("updates", [0, 1, 5])
def test_a_run_goes_on_to_the_same_edit(
    sd1: Model, tmp_path: Path, short: Edit, error: type[BaseException], updates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if error is RuntimeError:
        _save_always(monkeypatch)
    with pytest.raises(error):
        SHORT(sd1, CHURCH, progress=_stopping(SAMPLED + 6 * updates, error), checkpoint=tmp_path)
    with count_rows(sd1) as count:
        assert SHORT(sd1, CHURCH, checkpoint=tmp_path) == short
    repeated = 1 if error is RuntimeError and updates else 0  # it came before the save
    in_flight = 0 if updates else 2 * 3 * 1  # rows of the last trajectory
    assert count.rows == in_flight + 2 * (8 - updates + repeated)


def test_a_ctrl_c_in_the_last_save_stops_the_run_too(
    sd1: Model, tmp_path: Path, whole: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    _save_always(monkeypatch)
    save, sent = Parts.put, []

    def interrupted(self: Parts[Any], name: str, tensors: Any) -> None:
        save(self, name, tensors)
        if int(tensors.get("updates", 0)) == 24 and not sent:
            sent.append(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Parts, "put", interrupted)
    with pytest.raises(KeyboardInterrupt, match="Stopped after 24 of 24 updates; the same command goes on"):
        RUN(sd1, CHURCH, checkpoint=tmp_path)
    with count_rows(sd1) as count:
        assert RUN(sd1, CHURCH, checkpoint=tmp_path) == whole
    assert count.rows == 0


def test_a_run_stopped_in_sampling_samples_the_rest_only(sd1: Model, tmp_path: Path, whole: Edit) -> None:
    with pytest.raises(KeyboardInterrupt):
        RUN(sd1, CHURCH, progress=_stopping(2 * 3 * 8 + 1, KeyboardInterrupt), checkpoint=tmp_path)
    with count_rows(sd1) as count:
        edit = RUN(sd1, CHURCH, checkpoint=tmp_path)
    assert count.rows == 2 * 3 * 1 + 24 * 2  # eight of the nine trajectories were kept
    assert edit == whole


def test_fresh_runs_go_on_too(sd1: Model, tmp_path: Path) -> None:
    esd = ESD(steps=6, batch_size=2, sampling_steps=3, lr=1e-3, fresh=True)
    whole, before = esd(sd1, CHURCH), weights_hash(sd1)
    with pytest.raises(KeyboardInterrupt):
        esd(sd1, CHURCH, progress=_stopping(6 * 3, KeyboardInterrupt), checkpoint=tmp_path)
    assert weights_hash(sd1) == before
    assert esd(sd1, CHURCH, checkpoint=tmp_path) == whole


def test_without_a_checkpoint_an_interrupt_says_that_nothing_was_kept(sd1: Model) -> None:
    with pytest.raises(KeyboardInterrupt, match="Stopped after 2 of 24 updates; nothing was kept"):
        RUN(sd1, CHURCH, progress=_stopping(SAMPLED + 12, KeyboardInterrupt))


def test_another_run_in_the_same_folder_has_parts_of_its_own(sd1: Model, tmp_path: Path, short: Edit) -> None:
    with pytest.raises(KeyboardInterrupt):
        SHORT(sd1, CHURCH, progress=_stopping(SAMPLED + 12, KeyboardInterrupt), checkpoint=tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for other, concept in ((replace(SHORT, lr=2e-3), CHURCH), (SHORT, Concept("dog"))):
        with count_rows(sd1) as count:
            assert other(sd1, concept, checkpoint=tmp_path) == other(sd1, concept)
        assert count.rows == 2 * (SAMPLED + 8 * 2)  # it takes nothing of the other run's
    assert files.items() <= {path: path.read_bytes() for path in tmp_path.iterdir()}.items()
    with count_rows(sd1) as count:
        assert SHORT(sd1, CHURCH, checkpoint=tmp_path) == short
    assert count.rows == (8 - 2) * 2


def test_a_damaged_checkpoint_is_computed_anew_with_one_warning(sd1: Model, tmp_path: Path, whole: Edit) -> None:
    with pytest.raises(KeyboardInterrupt):
        RUN(sd1, CHURCH, progress=_stopping(SAMPLED + 12, KeyboardInterrupt), checkpoint=tmp_path)
    for damaged in sorted(tmp_path.iterdir()):
        content = bytearray(damaged.read_bytes())
        content[-5] ^= 1
        damaged.write_bytes(content)
    with pytest.warns(DamagedPart) as warned:
        assert RUN(sd1, CHURCH, checkpoint=tmp_path) == whole
    files = [str(warning.message).split(" is damaged: it is computed anew")[0] for warning in warned]
    assert (
        len(files) == len(set(files)) == 4
    )  # two of trajectories, one of how many of them were sampled together, one of the state


def test_a_ctrl_c_is_held_back_and_a_second_is_not() -> None:
    before = signal.getsignal(signal.SIGINT)
    with delayed_interrupt() as came:
        assert not came()
        signal.raise_signal(signal.SIGINT)
        assert came()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_signals_are_left_alone() -> None:
    seen: list[Any] = []

    def run() -> None:
        with delayed_interrupt() as came:
            seen.append((came(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(False, signal.getsignal(signal.SIGINT))]


def test_slow_saves_are_made_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = training.Pace()
    now[0] = 16.0
    assert clock.is_due
    with clock.saving():
        now[0] += 10.0
    now[0] += 16.0
    assert not clock.is_due
    now[0] += 10.0 / 0.05
    assert clock.is_due
