from __future__ import annotations

from pathlib import Path

import pytest
from report.fake import fake_result

import turpentine as tp
from turpentine.bench import ErasureResult, Protocol
from turpentine.concepts import Concept
from turpentine.report import recipe


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ErasureResult:
    return fake_result(tmp_path_factory.mktemp("run"), Concept("church", keep=("castle",)), seeds=3)


def test_the_code_makes_the_same_method_concept_and_protocol_again(result: ErasureResult) -> None:
    made: dict[str, object] = {}
    code = recipe.code(result).replace("tp.load('emoji')", "None").splitlines()
    kept = [line for line in code if not line.startswith(("result =", "write_report", "from turpentine.report"))]
    exec("\n".join(kept), made)  # the line that runs it is left out
    assert made["protocol"] == Protocol(seeds=(0, 1, 2))
    method = made["method"]
    assert type(method).__name__ == "ESD"
    assert method == tp.methods.ESD(steps=150)
    assert "tp.Concept('church', keep=('castle',))" in recipe.code(result)


def test_only_what_differs_from_the_defaults_is_written(result: ErasureResult) -> None:
    assert "tp.methods.ESD(steps=150)" in recipe.code(result)


def test_a_method_that_is_not_known_here_shows_all_its_settings(result: ErasureResult, tmp_path: Path) -> None:
    other = fake_result(tmp_path, seeds=1)
    other.run.identity["method"] = {"name": "Elsewhere", "settings": {"a": 1, "b": [2, 3]}}
    assert "tp.methods.Elsewhere(a=1, b=(2, 3))" in recipe.code(other)


def test_the_facts_name_model_edit_judge_and_versions(result: ErasureResult) -> None:
    facts = recipe.facts(result)
    assert facts["Edit id"] == result.edit.id
    assert facts["Base fingerprint"] == "ab" * 32
    assert "17.3 million weights" in facts["Model"]
    assert "seeds 0–2" in facts["Pictures"]
    assert "picture statistics" in facts["Judge"]
    assert facts["Time"] == "erase 28 s, before 41 s, after 42 s"


def test_only_the_emoji_world_has_sprites_to_name(result: ErasureResult, tmp_path: Path) -> None:
    assert {source["style"] for source in recipe.sources(result)} >= {"noto", "twemoji", "line"}
    foreign = fake_result(tmp_path, seeds=1)
    foreign.run.identity["protocol"] = {**foreign.run.identity["protocol"], "judges": []}
    assert recipe.sources(foreign) == []
