"""Calls of a few rows of a small denoiser run on one thread, and all others as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from turpentine.attack.cce import CCE
from turpentine.attack.harness import Attack
from turpentine.attack.p4d import P4D
from turpentine.attack.trial import Trial
from turpentine.attack.unlearndiffatk import UnlearnDiffAtk
from turpentine.attack.victim import Victim
from turpentine.core.threads import using_threads
from turpentine.models.few_rows import FEW, threads_for
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import toy

SEARCHES = (
    CCE(updates=2, batch=1, stages=1, init="dog"),
    UnlearnDiffAtk(tokens=2, timesteps=1, iterations=2, stages=1),
    P4D(tokens=2, updates=2, pool=2, checked=1, judge_every=2, stages=1),
)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with using_threads(2):
        yield


@pytest.mark.parametrize("attack", SEARCHES, ids=lambda each: each.name)
def test_updates_of_a_search_run_on_one_thread(attack: Attack) -> None:
    model, seen = toy("sd1"), list[int]()
    references = model.generate("a church", seeds=[0], steps=2)
    trial = Trial(steps=2, pictures=1, curve_pictures=1)
    attack(
        Victim(model),
        "church",
        original=Victim(model),
        references=references,
        judge=CoinJudge(),
        trial=trial,
        progress=lambda done, total: seen.append(torch.get_num_threads()),
    )
    assert 1 in seen
    assert torch.get_num_threads() == 2


def test_more_rows_and_larger_pictures_keep_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy("sd1")
    for rows, threads in ((1, 1), (FEW, 1), (FEW + 1, 2)):
        with threads_for(model, rows):
            assert torch.get_num_threads() == threads
    monkeypatch.setattr("turpentine.emoji.world.SIZE", max(model.size) // 4)
    with threads_for(model, 1):
        assert torch.get_num_threads() == 2


def test_threads_come_back_after_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), threads_for(toy("sd1"), 1):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 2
