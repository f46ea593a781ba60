"""Our methods as a technique of eval-unlearn, beside its own; against its released wheel where that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_sd1

from turpentine.bridge import Technique, TechniqueConfig
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.edits import Edit
from turpentine.models import load

PROMPTS = ["a church", "a dog", "a church"]
QUICK = {"num_inference_steps": 2, "guidance_scale": 4.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model")
    tiny_sd1(whole=True).save_pretrained(path)
    return str(path)


def pixels(pictures: list[Any]) -> list[np.ndarray]:
    return [np.asarray(each).astype(int) for each in pictures]


def test_a_picture_is_the_models_own_with_the_edit_on_it(folder: str) -> None:
    technique = Technique(erase_concept="church", method="uce", model_id=folder, settings={"lamb": 0.2}, **QUICK)
    drawn = technique.generate(PROMPTS, seed=5)
    assert isinstance(technique.change, Edit) and technique.change.provenance.settings["lamb"] == 0.2
    model = load(folder)
    with technique.change.on(model):
        expected = model.generate(PROMPTS, seeds=[5, 6, 7], steps=2)
    assert all((one == other).all() for one, other in zip(pixels(drawn), pixels(expected), strict=True))
    assert technique.generate([], seed=1) == [] and len(technique.generate(["a dog"])) == 1


def test_an_edit_that_is_made_already_goes_on_as_it_is(folder: str, tmp_path: Path) -> None:
    first = Technique(erase_concept="church", method="uce", model_id=folder, **QUICK)
    first.change.save(tmp_path / "edit.safetensors")
    second = Technique(edit=str(tmp_path / "edit.safetensors"), model_id=folder, **QUICK)
    assert second.change == first.change


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({}, "There is nothing to erase"),
        ({"erase_concept": "church", "methud": "uce"}, "did you mean 'method'"),
        ({"edit": "x.safetensors", "method": "uce"}, "leave out either"),
        ({"erase_concept": "church", "method": "esdx"}, "did you mean 'esd-x'"),
        ({"erase_concept": "church", "method": "cad-amplify"}, "cad-amplify"),
        ({"erase_concept": "church", "method": "uce", "settings": {"lmab": 1}}, "has no setting 'lmab'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(folder: str, config: dict[str, Any], what: str) -> None:
    with pytest.raises((BadArgument, UnknownName), match=what):
        Technique(**config, model_id=folder)


def test_what_changes_a_picture_and_is_not_known_is_refused(folder: str) -> None:
    technique = Technique(erase_concept="church", method="prompt-filter", model_id=folder)
    with pytest.raises(UnknownName, match="draws by no 'eta'"):
        technique.generate(["a dog"], seed=0, eta=1.0)


def test_the_fields_are_those_that_techniques_of_eval_unlearn_have() -> None:
    names = set(TechniqueConfig.__dataclass_fields__)
    assert {"erase_concept", "model_id", "device", "num_inference_steps", "guidance_scale"} <= names


def test_eval_unlearn_finds_it_and_its_free_run_draws_the_same_of_the_exported_folder(
    folder: str, tmp_path: Path
) -> None:
    registry = pytest.importorskip("eval_unlearn.registry")
    from eval_unlearn.registry.entrypoints import load_entrypoints

    load_entrypoints()
    assert registry.get_technique("turpentine") is Technique
    ours = registry.get_technique("turpentine")(erase_concept="church", method="uce", model_id=folder, **QUICK)
    ours.model.save_pretrained(tmp_path / "edited")
    drawn = ours.generate(PROMPTS, seed=3)
    theirs = registry.get_technique("free_run")(model_id=str(tmp_path / "edited"), device="cpu", **QUICK)
    theirs.pipe.set_progress_bar_config(disable=True)
    expected = theirs.generate(PROMPTS, seed=3)
    assert all(abs(one - other).max() <= 1 for one, other in zip(pixels(drawn), pixels(expected), strict=True))
