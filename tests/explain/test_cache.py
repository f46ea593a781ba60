"""Long instruments that are broken off: what was finished is not done again, and the result is that of one run."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from turpentine.core.parts import DamagedPart, Parts
from turpentine.explain.clock import Clock
from turpentine.explain.coar import COAR
from turpentine.explain.intervene import Intervene
from turpentine.explain.locogen import LocoGen
from turpentine.explain.trace import Trace
from turpentine.models import count_rows

PROMPTS, SEEDS = ["a church", "a red church", "a church in flat style"], [0, 1, 2]


LONG = {
    "intervene": (Intervene(("q1", "qALL"), steps=2, rows=6), {}),
    "clock": (Clock(("+0.1",), steps=2, rows=4), {}),
    "locogen": (LocoGen(width=1, steps=2, rows=2), {"concept": "church"}),
    "trace": (Trace("text", steps=2), {"concept": "church"}),
    "coar": (COAR(kinds=("cross-attention",), trials=40, share=0.3, steps=2), {}),
}


def told(name, judge):
    return {"judge": judge} if name != "coar" else {}


@pytest.mark.parametrize("name", LONG)
def test_one_that_was_broken_off_goes_on_and_finds_the_same(name, sd1, judge, tmp_path):
    asked, words = LONG[name]
    words = words | told(name, judge)
    with count_rows(sd1) as whole:
        found = asked(sd1, PROMPTS, SEEDS, **words)

    def break_off(done, total):
        raise KeyboardInterrupt

    with count_rows(sd1) as first, pytest.raises(KeyboardInterrupt):
        asked(sd1, PROMPTS, SEEDS, cache=tmp_path, progress=break_off, **words)
    progress = []
    with count_rows(sd1) as second:
        again = asked(sd1, PROMPTS, SEEDS, cache=tmp_path, progress=lambda *now: progress.append(now), **words)
    with count_rows(sd1) as third:
        asked(sd1, PROMPTS, SEEDS, cache=tmp_path, **words)
    assert first.rows + second.rows == whole.rows + third.rows - (third.grad_rows - first.grad_rows)
    assert third.rows == (whole.rows - ablated(asked, found) if name == "coar" else 0)
    assert progress[-1][0] == progress[-1][1]
    assert again.table.equals(found.table)


def ablated(asked, found):
    """Rows of COAR's ablations: its stored run and its gradient are taken anew."""
    return (asked.trials + len(found.table) + 1) * asked.steps * len(PROMPTS)


def test_a_damaged_part_is_made_again(tmp_path):
    parts, made = Parts(tmp_path, "about"), []

    def make():
        made.append(1)
        return {"x": torch.arange(3)}

    for _ in range(2):
        assert parts.part("it", make)["x"].tolist() == [0, 1, 2]
    assert len(made) == 1
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.warns(DamagedPart, match=f"{file.name} is damaged: it is computed anew"):
        assert parts.part("it", make)["x"].tolist() == [0, 1, 2]
    assert len(made) == 2


def test_without_a_folder_nothing_is_written(sd1, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Intervene(("q1",), steps=2)(sd1, PROMPTS[:1], SEEDS[:1])
    assert isinstance(found.table, pl.DataFrame) and not list(tmp_path.iterdir())
