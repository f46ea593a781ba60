from __future__ import annotations

from pathlib import Path

import pytest
from report.fake import fake_result

from turpentine.bench import ErasureResult
from turpentine.report import recipe


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ErasureResult:
    return fake_result(tmp_path_factory.mktemp("run"), seeds=3)


def test_the_facts_name_model_edit_judge_and_versions(result: ErasureResult) -> None:
    facts = recipe.facts(result)
    assert facts["Edit id"] == result.edit.id
    assert facts["Edit"] == "0.03 million weights in 1 tensors"
    assert facts["Base fingerprint"] == "ab" * 32
    assert "17.3 million weights" in facts["Model"]
    assert "seeds 0–2" in facts["Pictures"]
    assert "picture statistics" in facts["Judge"]
    assert facts["Time"] == "erase 28 s, before 41 s, after 42 s"


def test_a_selection_of_sites_is_told_by_its_number(tmp_path: Path) -> None:
    result = fake_result(tmp_path, seeds=1)
    sites = {"sites": ["unet.a", "unet.b"], "window": [0.0, 0.5]}
    result.run.identity["method"]["settings"] = {"sites": sites, "steps": 3}
    assert recipe.settings(result) == {"sites": "2 sites during 0 to 0.5", "steps": "3"}


def test_only_the_emoji_world_has_sprites_to_name(result: ErasureResult, tmp_path: Path) -> None:
    assert {source["style"] for source in recipe.sources(result)} >= {"noto", "twemoji", "line"}
    foreign = fake_result(tmp_path, seeds=1)
    foreign.run.identity["protocol"] = {**foreign.run.identity["protocol"], "judges": []}
    assert recipe.sources(foreign) == []


def test_no_setting_is_shown_as_python_has_it(result: ErasureResult, tmp_path: Path) -> None:
    shown = recipe.settings(fake_result(tmp_path, seeds=1))
    assert shown["erase from"] == "none" and shown["window"] == "0, 1" and shown["eta"] == "1"
    assert not {"None", "True", "False", "()", "[]"} & set(shown.values())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "yes"),
        ([], "none"),
        (["a", None], "a, none"),
        ({"style": [0.5, 1.0]}, "style: 0.5, 1"),
        (0.1 + 0.2, "0.3"),
        ("x", "x"),
    ],
)
def test_a_setting_in_words(value: object, text: str) -> None:
    assert recipe.setting_text(value) == text
