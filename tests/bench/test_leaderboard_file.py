"""The file of a leaderboard: its three sections, and what is wrong in them by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from turpentine.bench.attack_file import read_attack_bench
from turpentine.bench.leaderboard_file import leaderboards, read_leaderboard
from turpentine.core.errors import BadArgument, UnknownName

FILE = """\
title: Two columns
models: [emoji]
concepts: [church]
methods: [prompt-filter]
measured:
  judges: [emoji]
  cases:
    - world: [erased, other]
attacked:
  attacks: [completion]
  judge: emoji
  never: mushroom
audited: {pictures: 20}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "board.yaml"
    path.write_text(FILE)
    return path


def test_what_ships_has_the_methods_of_the_bench_of_objects_and_is_no_bench_of_attacks() -> None:
    assert set(leaderboards()) == {"emoji-leaderboard"}
    spec, objects = read_leaderboard("emoji-leaderboard"), read_attack_bench("emoji-attacks")
    assert spec is not None and objects is not None and spec.audited is not None
    names = [entry.name for entry in spec.attacked.methods]
    assert {entry.name for entry in objects.methods} <= set(names)
    assert names == [entry.name for entry in spec.measured.spec.methods]
    assert spec.audited.pictures == spec.attacked.trial.pictures  # no search is done twice
    assert read_attack_bench("emoji-leaderboard") is None and read_leaderboard("emoji-attacks") is None


def test_sections_have_the_keys_that_stand_above_them_in_common(file: Path) -> None:
    spec = read_leaderboard(str(file), ["concepts=[dog]", "measured.seeds=0-2", "attacked.trial.steps=3"])
    assert spec is not None and spec.title == "Two columns"
    assert (
        [each[0].text for each in spec.measured.concepts] == [each.text for each in spec.attacked.concepts] == ["dog"]
    )
    assert (spec.measured.spec.seeds, spec.attacked.trial.steps) == ((0, 1, 2), 3)
    unasked = read_leaderboard(str(file), ["audited=null"])
    assert unasked is not None and unasked.audited is None


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("measurd={}", "--set measurd: there is no key 'measurd': did you mean 'measured'"),
        ("measured=1", "'measured' holds no keys with values"),
        ("measured.seedz=0-3", "there is no key 'seedz': did you mean 'seeds'"),
        ("attacked.trial={step: 4}", "there is no key 'step'"),
        ("audited.pictures=3", "pictures is 3"),
        ("audited.picture=30", "there is no key 'picture': did you mean 'pictures'"),
        ("attacked.never=[]", "line 13: There is nothing to hold audits against"),
        ("methods=[cad-amplify]", "cad-amplify is to amplify"),
        ("concepts=[[church, dog]]", "is no concept"),
    ],
)
def test_what_cannot_be_is_said_with_its_line(file: Path, change: str, line: str) -> None:
    with pytest.raises((BadArgument, UnknownName)) as caught:
        read_leaderboard(str(file), [change])
    assert line in str(caught.value)


def test_a_fault_in_a_section_is_at_its_own_line(file: Path) -> None:
    file.write_text(FILE.replace("judge: emoji", "judge: emojy"))
    with pytest.raises((BadArgument, UnknownName), match=r"board\.yaml, line 11: .*emojy"):
        read_leaderboard(str(file))
