"""A leaderboard: its columns, and that another method costs its own work alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from turpentine.attack.budget import Budget, Meter
from turpentine.audit.leaderboard import NOT_ASKED, Leaderboard, estimate_leaderboard, run_leaderboard
from turpentine.audit.verdict import QUICK
from turpentine.bench.attack_bench import AttackTable
from turpentine.bench.leaderboard_file import LeaderboardSpec, read_leaderboard
from turpentine.bench.schema import ModelEntry
from turpentine.models import Model, load

FILE = """\
title: Two ways to erase
models: [emoji]
concepts: [church]
methods: [prompt-filter]
measured:
  judges: [emoji]
  seeds: 0-1
  drawing: {steps: 1}
  cases:
    - prompts: ["a {}"]
      of: [church, dog, fish]
      column: object
attacked:
  attacks:
    - completion: {share: 0.5}
  judge: emoji
  never: anchor
  trial: {steps: 2, guidance_scale: 1.0, pictures: 20, curve_pictures: 1, original_rate: 0}
audited: {pictures: 20, others: 20}
"""


FEW = ("attacked.trial.pictures=2", "measured.seeds='0'")
SMALL = ("audited=null", "attacked.never=[]", *FEW)
"""Without what takes seconds."""


@pytest.fixture(autouse=True)
def _no_oracle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As of a concept of which none ships: an audit beside one takes longer."""
    monkeypatch.setattr("turpentine.emoji.oracles.SHIPPED", tmp_path)


@pytest.fixture(scope="module")
def model() -> Model:
    return load()


def spec_of(folder: Path, *changes: str) -> LeaderboardSpec:
    path = folder / "board.yaml"
    path.write_text(FILE)
    spec = read_leaderboard(str(path), changes)
    assert spec is not None
    return spec


def rows_spent(model: Model, spec: LeaderboardSpec, folder: Path) -> tuple[int, Leaderboard]:
    """Rows of the denoiser that a run takes, and what it came to."""
    meter = Meter(Budget())
    with meter.counting(model):
        board = run_leaderboard(spec, folder, lambda entry: model).board
    return meter.spent.forward, board


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the board, whose pictures the tests share."""
    return tmp_path_factory.mktemp("board")


@pytest.fixture(scope="module")
def board(folder: Path, model: Model) -> Leaderboard:
    """One method, drawn and attacked in two pictures, and not audited."""
    return rows_spent(model, spec_of(folder, *SMALL), folder / "out")[1]


def test_another_method_costs_its_own_work_alone_and_what_is_over_costs_nothing(tmp_path: Path, model: Model) -> None:
    out, one = tmp_path / "out", spec_of(tmp_path, *SMALL)
    expected = estimate_leaderboard(one, out, lambda entry: model)
    assert (expected.audits_left, expected.attacked.searches_left, expected.measured.pictures) == (0, 3, 6)
    assert not out.exists()
    first, board = rows_spent(model, one, out)
    assert not board.errors and board.rows["method"].to_list() == ["", "prompt-filter"]
    before, row = board.rows.rows(named=True)
    assert (before["audited"], before["attack"], before["pictures"]) == (None, None, 3)
    assert (row["concepts"], row["attack"]) == (1, "completion")
    assert 0 <= row["attacked_low"] <= row["attacked"] <= row["attacked_high"] <= 1
    assert row["bytes"] > 0 and row["seconds"] >= 0
    again, same = rows_spent(model, one, out)
    assert again == 0 and same.rows.equals(board.rows)
    both = spec_of(tmp_path, *SMALL, "methods=[prompt-filter, negative-prompt]")
    more, grown = rows_spent(model, both, out)
    assert 0 < more < first  # what all methods have in common was there
    assert grown.rows["method"].to_list() == ["", "prompt-filter", "negative-prompt"]
    assert grown.rows[1].equals(board.rows[1])


def test_an_audit_is_done_once_for_each_edit(folder: Path, board: Leaderboard, model: Model) -> None:
    assert board.verdicts == {}
    spec, out = spec_of(folder, *FEW), folder / "out"
    _, board = rows_spent(model, spec, out)
    [(key, verdict)] = board.verdicts.items()
    assert key == ("emoji", "prompt-filter", "church") and not board.errors
    assert verdict in QUICK and board.rows["audited"].to_list() == [None, f"{verdict} 1"]
    again, same = rows_spent(model, spec, out)
    assert again == 0 and same.verdicts == board.verdicts
    assert estimate_leaderboard(spec, out, lambda entry: model).audits_left == 0


def test_an_edit_is_audited_beside_the_oracles_of_both_kinds_that_are_here(tmp_path: Path, model: Model) -> None:
    for name in ("emoji-without-church", "emoji-unnamed-church", "emoji-without-fish"):
        (tmp_path / name).mkdir()
    loaded: list[str] = []

    def load_one(entry: ModelEntry) -> Model:
        loaded.append(entry.source)
        return model

    assert estimate_leaderboard(spec_of(tmp_path, *FEW), tmp_path / "out", load_one).audits_left == 1
    assert loaded == ["emoji", "emoji-without-church", "emoji-unnamed-church"]


def test_what_cannot_be_audited_is_named_and_is_no_verdict(tmp_path: Path, model: Model) -> None:
    """Drawn without its prompt, no picture shows the concept."""
    _, board = rows_spent(model, spec_of(tmp_path, *FEW, "attacked.trial.guidance_scale=0"), tmp_path / "out")
    assert set(board.errors) == {"emoji, church, prompt-filter, audit"}
    assert board.rows["audited"].to_list() == [None, NOT_ASKED]


def test_what_was_not_asked_is_said_so_and_never_made_up(board: Leaderboard) -> None:
    assert board.verdicts == {} and board.rows["audited"].to_list() == [None, NOT_ASKED]
    empty = Leaderboard("x", board.measured, AttackTable("x", pl.DataFrame()))
    assert empty.rows["attacked"].to_list() == [None, None]


def test_the_attack_that_brings_most_stands_for_all(board: Leaderboard) -> None:
    facts = {"model": "emoji", "concept": "church", "method": "prompt-filter", "arm": "edited", "n": 4, "seed": 0}
    attacks = [("no attack", 4), ("completion", 1), ("cce", 3)]
    ends = {"low": 0.0, "high": 1.0}
    rows = pl.DataFrame(
        [
            {**facts, **ends, "attack": name, "hits": hits, "outcomes": [place < hits for place in range(4)]}
            for name, hits in attacks
        ]
    )
    row = Leaderboard("x", board.measured, AttackTable("x", rows)).rows.row(1, named=True)
    assert (row["attack"], row["attacked"]) == ("cce", 0.75)
