"""An attack's pictures: as many at once as fit, once for a folder, and the same ones whatever that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from turpentine.attack import Trial
from turpentine.attack.controls import battery
from turpentine.attack.random_prefix import RandomPrefix
from turpentine.attack.victim import Victim
from turpentine.audit.audit import Audit
from turpentine.models import Model, count_rows
from turpentine.models.row_memory import MARGIN, bytes_a_row
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import toy

QUICK = Trial(steps=1, pictures=4, curve_pictures=1, original_rate=0)


def with_free(monkeypatch: pytest.MonkeyPatch, model: Model, pictures: float) -> None:
    """Leave memory for so many pictures, each of two rows."""
    size = int(pictures * 2 * bytes_a_row(model) * MARGIN)
    monkeypatch.setattr("turpentine.models.row_memory.free_memory", lambda device: size)


@pytest.mark.parametrize(("fitting", "at_once"), [(100, 20), (20, 20), (19.9, 10), (4, 2), (0, 1)])
def test_as_many_are_drawn_at_once_as_fit(
    sd1: Model, monkeypatch: pytest.MonkeyPatch, fitting: float, at_once: int
) -> None:
    with_free(monkeypatch, sd1, fitting)
    assert Trial().fitting(sd1).batch_size == at_once
    assert Trial(batch_size=7).fitting(sd1).batch_size == 7


def test_with_memory_enough_what_is_stored_is_known_by_the_same(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, sd1, 20)
    assert Trial().facts == Trial().fitting(sd1).facts == Trial(batch_size=20).facts


def test_a_folder_that_was_begun_keeps_its_number_for_the_model(
    sd1: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, sd1, 5)
    assert Trial().fitting(sd1, tmp_path).batch_size == 5
    with_free(monkeypatch, sd1, 100)
    with count_rows(sd1) as count:
        assert Trial().fitting(sd1, tmp_path).batch_size == 5
    assert count.rows == 0
    assert Trial().fitting(toy("sd2"), tmp_path).batch_size == 20


def test_a_battery_in_little_memory_comes_to_the_same(
    sd1: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on with as many at once as it was begun with."""
    attacks = [RandomPrefix(candidates=1, per_candidate=1)]
    given: dict[str, Any] = {"original": Victim(sd1), "judge": CoinJudge(), "trial": QUICK, "seed": 1}
    plain = battery(attacks, Victim(sd1), "church", **given)
    with_free(monkeypatch, sd1, 2)
    calls: list[int] = []
    handle = sd1.denoiser.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    little = battery(attacks, Victim(sd1), "church", **given, cache=tmp_path)
    handle.remove()
    assert max(calls) == 2 * 2
    assert little.table.equals(plain.table)
    with_free(monkeypatch, sd1, 100)
    with count_rows(sd1) as count:
        assert battery(attacks, Victim(sd1), "church", **given, cache=tmp_path).table.equals(plain.table)
    assert count.rows == 0


def test_an_audit_takes_the_models_trial_where_none_is_given(sd1: Model) -> None:
    attacks = [RandomPrefix()]
    assert Audit(attacks, pictures=40).trial_of(sd1) == Trial.of(sd1, pictures=40)
    assert Audit(attacks, pictures=40, trial=QUICK).trial_of(sd1).steps == 1
