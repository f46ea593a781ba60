"""Pictures at a time follow the free memory, once for a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench.stubs import CASES, QUICK, Killed, Nudge, StubJudge, killer

from turpentine.bench import Erasure, measure, run_erasure
from turpentine.concepts import Concept
from turpentine.models import Model, count_rows
from turpentine.models.row_memory import MARGIN, bytes_a_row
from turpentine.runs.batch_size import settled
from turpentine.runs.ledger import LedgerError
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import MOST_AT_ONCE
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec
from turpentine.runs.store import PLAN, Store

OPEN = replace(QUICK, batch_size=None)


def with_free(monkeypatch: pytest.MonkeyPatch, model: Model, pictures: float) -> None:
    """Leave memory for so many pictures, each of two rows."""
    size = int(pictures * 2 * bytes_a_row(model) * MARGIN)
    monkeypatch.setattr("turpentine.models.row_memory.free_memory", lambda device: size)


@pytest.mark.parametrize(
    ("fitting", "workers", "at_once"), [(100, 1, MOST_AT_ONCE), (16, 1, 16), (15.9, 1, 8), (0, 1, 1), (16, 4, 4)]
)
def test_as_many_are_drawn_at_once_as_fit_and_workers_share_the_memory(
    sd1: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fitting: float, workers: int, at_once: int
) -> None:
    with_free(monkeypatch, sd1, fitting)
    source, store = ModelSpec.of(sd1), Store(tmp_path)
    assert settled(OPEN, sd1, source, store, workers) == replace(OPEN, batch_size=at_once)
    assert settled(QUICK, sd1, source, store, workers) is QUICK


def test_a_larger_picture_takes_more(sd1: Model) -> None:
    assert bytes_a_row(sd1, 2 * sd1.size[0]) > 2 * bytes_a_row(sd1)


def test_a_folder_that_was_begun_keeps_its_number_for_the_model(
    sd1: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, store, judges = ModelSpec.of(sd1), Store(tmp_path), (JudgeSpec.of(StubJudge()),)
    other = replace(source, load="another")
    store.begin(Plan([Condition(source, tuple(CASES), replace(QUICK, batch_size=5), judges)]))
    with_free(monkeypatch, sd1, 2)
    assert settled(OPEN, sd1, source, store).batch_size == 5
    assert settled(OPEN, sd1, other, store).batch_size == 2
    assert settled(QUICK, sd1, source, store).batch_size == QUICK.batch_size
    (tmp_path / PLAN).write_text("{")
    with pytest.raises(LedgerError, match="does not hold the plan of a bench"):
        settled(OPEN, sd1, source, store)


def test_a_measurement_draws_as_many_as_fit_and_what_is_given(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows, in calls of fewer."""
    plain = measure(sd1, CASES, StubJudge(), OPEN)
    with_free(monkeypatch, sd1, 1)
    for protocol, rows in ((OPEN, 2), (QUICK, 4)):
        calls: list[int] = []
        handle = sd1.denoiser.register_forward_pre_hook(lambda _, args, calls=calls: calls.append(len(args[0])))
        little = measure(sd1, CASES, StubJudge(), protocol)
        handle.remove()
        assert max(calls) == rows
        assert little.rows.drop("image").equals(plain.rows.drop("image")) and little.protocol == plain.protocol


def test_a_plan_that_leaves_it_open_draws_the_most_at_once() -> None:
    assert (OPEN.at_once, QUICK.at_once) == (MOST_AT_ONCE, 3)
    assert OPEN.facts() == QUICK.facts()


def test_a_run_that_was_broken_off_goes_on_with_as_many_whatever_is_free_by_then(
    sd1: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(**how: Any) -> None:
        erasure = Erasure(Concept("church"), Nudge(), OPEN, StubJudge(), CASES)
        run_erasure(sd1, erasure, tmp_path, **how)

    with_free(monkeypatch, sd1, 2)
    with count_rows(sd1) as count, pytest.raises(Killed):
        run(progress=killer(6))
    first = count.rows
    with_free(monkeypatch, sd1, 100)
    with count_rows(sd1) as count:
        run()
    plan, _ = Store(tmp_path / ".store").planned()
    assert {line.protocol.batch_size for line in plan.conditions} == {2}
    assert {len(job.batch) for job in plan.jobs} == {2}
    once = 2 * 3 * 2 * 2  # twice the prompts by seeds, each of two rows
    assert first > 0 and first - 1 + count.rows <= once + 4 + 1


def test_a_run_in_the_place_of_another_draws_as_many_as_fit_by_then(
    sd1: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fitting, force in ((2, False), (4, False), (4, True)):
        with_free(monkeypatch, sd1, fitting)
        run_erasure(sd1, Erasure(Concept("church"), Nudge(), OPEN, StubJudge(), CASES), tmp_path, force=force)
        plan, _ = Store(tmp_path / ".store").planned()
        assert {line.protocol.batch_size for line in plan.conditions} == {4 if force else 2}
