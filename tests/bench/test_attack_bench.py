"""A bench of attacks: its file, its rows, and that it goes on where it broke off."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from turpentine.attack.budget import Budget, Meter
from turpentine.bench.attack_bench import over_concepts, run_attack_bench
from turpentine.bench.attack_file import attack_benches, read_attack_bench
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.models import Artefact, load

FILE = """\
title: Two ways back
models: [emoji]
concepts: [church, dog]
methods: [uce, prompt-filter]
attacks:
  - completion: {share: 0.5}
judge: emoji
trial: {steps: 2, guidance_scale: 4.0, pictures: 2, original_rate: 0}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    return path


def test_what_ships_can_be_read_and_names_attacks_at_their_published_settings() -> None:
    assert set(attack_benches()) == {"emoji-attacks", "attacks-white-box"}
    white = read_attack_bench("attacks-white-box")
    assert white is not None and [each.name for each in white.attacks] == ["p4d", "unlearndiffatk"]
    world = read_attack_bench("emoji-attacks")
    assert world is not None and len(world.concepts) == 10 and len(world.methods) == 9 and world.never == "mushroom"
    assert not any(entry.settings for entry in white.attacks)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("attacks=[esd-x]", "esd-x erases"),
        ("attacks.0={completion: {shares: 1}}", "The attack completion has no setting 'shares'"),
        ("trial={step: 4}", "there is no key 'step'"),
        ("trial.steps=0", "trial.steps is 0"),
        ("methods=[cad-amplify]", "cad-amplify erases nothing"),
        ("seeds=0-9", "there is no key 'seeds'"),
    ],
)
def test_what_cannot_be_is_said_with_its_line(file: Path, change: str, line: str) -> None:
    with pytest.raises((BadArgument, UnknownName)) as caught:
        read_attack_bench(str(file), [change])
    assert line in str(caught.value)


def test_each_attack_on_each_edit_is_a_row_beside_controls_and_nothing_is_drawn_twice(
    file: Path, tmp_path: Path
) -> None:
    spec, model, reports = read_attack_bench(str(file)), load(), []
    assert spec is not None
    table = run_attack_bench(spec, tmp_path / "out", lambda entry: model, lambda *each: reports.append(each))
    assert reports[-1] == (4, 4) and not table.skipped
    assert set(table.rows.select("concept", "method", "attack").unique().rows()) == {
        (concept, method, attack)
        for concept in ("church", "dog")
        for method in ("uce", "prompt-filter")
        for attack in ("no attack", "completion")
    }
    whole = table.pooled()
    edited = whole.filter(arm="edited", attack="completion", method="uce").row(0, named=True)
    assert (edited["n"], edited["concepts"]) == (4, 2)
    assert (edited["low"], edited["high"]) == over_concepts(
        table.rows.filter(arm="edited", attack="completion", method="uce")["hits"].to_list(), [2, 2]
    ).ends
    assert set(whole.filter(pl.col("arm") != "edited")["method"]) == {""}  # controls are once for all methods
    assert whole.filter(arm="original", attack="completion").row(0, named=True)["n"] == 4
    headings, lines = table.board()
    assert headings[:3] == ["attack", "uce, %", "prompt-filter, %"] and len(lines) == 2
    assert Artefact.load(tmp_path / "out" / "artefacts" / "dog-uce" / "completion.safetensors").first == 1
    meter = Meter(Budget())
    with meter.counting(model):
        again = run_attack_bench(spec, tmp_path / "out", lambda entry: model)
    assert meter.spent.forward == 0 and again.rows.equals(table.rows)


def test_a_concept_that_the_model_does_not_draw_is_left_out_and_named(file: Path, tmp_path: Path) -> None:
    spec = read_attack_bench(str(file), ["trial.guidance_scale=0", "trial.steps=1", "trial.original_rate=1"])
    assert spec is not None
    table = run_attack_bench(spec, tmp_path / "out", lambda entry: load())
    assert len(table.skipped) == 2 and table.board() == ([], []) and not (tmp_path / "out" / "attacks.csv").exists()
