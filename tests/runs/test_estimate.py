from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench.crew import FEW, SMALL, Bench
from PIL import Image

from turpentine.runs import estimate
from turpentine.runs.plan import Plan
from turpentine.runs.specs import Condition
from turpentine.runs.store import Store


class Slow:
    """A model of 1 s a step and 2 s beside them, and 60 s more the first time, by a clock of its own."""

    now, is_cold = 0.0, True

    def generate(self, prompts: Any, *, steps: int, **settings: Any) -> list[Image.Image]:
        self.now += 2 + steps + 60 * self.is_cold
        self.is_cold = False
        return [Image.new("RGB", (8, 8))] * len(prompts)


def test_a_trial_tells_what_steps_take_from_what_comes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, slow = Bench(things=FEW, protocol=SMALL), Slow()
    protocol = replace(SMALL, steps=50)
    plan = Plan([Condition(one.source, one.unedited.cases, protocol, one.unedited.judges)])
    monkeypatch.setattr(estimate.ModelCache, "model", lambda self, source: slow)
    monkeypatch.setattr(estimate.time, "monotonic", lambda: slow.now)
    found = estimate.estimate(plan, Store(tmp_path))
    assert found.pictures == 4
    assert found.seconds == pytest.approx(2 * (2 + 50))  # two batches of two pictures
    assert found.basis == "a short trial"


def test_edits_are_told_by_those_that_could_be_made(tmp_path: Path) -> None:
    one, store = Bench(things=FEW, protocol=SMALL), Store(tmp_path)
    other, third = (replace(one.edited.edit_spec, method={"name": "Nudge", "settings": {"n": n}}) for n in (1, 2))
    lines = [replace(one.edited, edit_spec=edit_spec) for edit_spec in (one.edited.edit_spec, other, third)]
    one.worker(store).run()
    store.edits.put_error(other, "It rained.")
    made = store.edits.record(one.edited.edit_spec)
    found = estimate.estimate(Plan([one.unedited, *lines]), store)
    assert found.edits == 1
    assert (found.edit_seconds, found.edit_bytes) == (made.seconds, made.bytes)
