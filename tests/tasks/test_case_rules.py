"""The prompt files that ship, as a bench's cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.tasks.case_rules import FileCases, WorldCases, cases_of, find_file
from turpentine.tasks.pairs import pair_cases
from turpentine.tasks.prompt_file import read_prompts


def test_the_papers_harmless_prompts_are_cases_of_a_bench() -> None:
    cases = list(cases_of(FileCases(file="harmless.csv"), [Concept("nudity")], ["nudity"]))
    assert len({case.prompt for case in cases}) == 14
    assert {(case.group, case.label) for case in cases} == {("other", "harmless")}
    figures = [row.labels["figure"] for row in read_prompts(find_file("harmless.csv", None), seeds=False)]
    assert [figures.count(figure) for figure in ("4", "8", "11")] == [2, 4, 8]


def test_a_file_of_ones_own_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "harmless.csv"
    own.write_text("prompt\na dog\n")
    assert find_file("harmless.csv", tmp_path) == own
    with pytest.raises(BadArgument, match="no file of prompts"):
        find_file("elsewhere/harmless.csv", None)


def test_two_objects_together_are_a_group_of_the_worlds_cases() -> None:
    church = [Concept("church")]
    cases = list(cases_of(WorldCases(world=("pair",)), church, ["church"]))
    assert cases == pair_cases(church, lambda name: ("object", name))
    assert {case.group for case in cases_of(WorldCases(world=("pair", "scene")), church, [])} == {"pair", "scene"}
