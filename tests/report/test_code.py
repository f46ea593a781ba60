from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from plugged import plug
from report.fake import fake_result

import turpentine as tp
from turpentine.bench import Case, ErasureResult, Protocol
from turpentine.concepts import Concept
from turpentine.edits import GuidanceChange, Provenance
from turpentine.models import Model
from turpentine.report import code
from turpentine.runs.method_settings import facts_of

CHURCH = Concept("church", templates=("{}",), keep=("castle",))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ErasureResult:
    cases = [Case("erased", "church", "church", "object", "church")]
    return fake_result(tmp_path_factory.mktemp("run"), CHURCH, cases, seeds=3)


def changed(result: ErasureResult, *, method: Any = None, about: dict[str, str] | None = None, **model: Any) -> Any:
    """The same result of another method, and from another model."""
    run = copy.deepcopy(result.run)
    if method is not None:
        run.identity["method"] = json.loads(json.dumps(facts_of(method)))
    run.identity["model"] |= model
    run.about["model"] |= about or {}
    return replace(result, run=run)


def ran(text: str, model: Model | None = None) -> dict[str, Any]:
    """What the code makes, but for the run itself, which is left out; the model is given."""
    assert len(re.findall(r"^model = tp\.load\(", text, re.MULTILINE)) == 1
    lines = [line for line in text.splitlines() if not line.startswith(("model =", "result =", "write_report("))]
    made: dict[str, Any] = {"model": model}
    exec("\n".join(lines), made)
    return made


def test_it_makes_the_same_method_concept_and_protocol_again(result: ErasureResult) -> None:
    text = code.again(result)
    made = ran(text)
    assert made["protocol"] == Protocol(seeds=(0, 1, 2))
    assert made["method"] == tp.methods.ESD(steps=150)
    assert "model = tp.load('emoji')\n" in text
    concept = re.search(r"Erasure\((.*), method, protocol", text)
    assert concept
    assert eval(concept[1], {"tp": tp}) == CHURCH


def test_only_what_differs_from_the_defaults_is_written(result: ErasureResult) -> None:
    assert "tp.methods.ESD(steps=150)" in code.again(result)


def test_a_selection_of_sites_is_taken_from_the_model_again(result: ErasureResult, sd1: Model) -> None:
    sites = sd1.sites.only(kind="cross-attention", level="layer").during(0.25, 0.5)
    for method in (tp.methods.ESD(sites=sites, window=(0.0, 0.75)), tp.methods.ESD(sites=replace(sites, window=None))):
        assert ran(code.again(changed(result, method=method)), sd1)["method"] == method


@dataclass(frozen=True)
class Collage:
    """A method with a setting that no file holds."""

    pictures: tuple[Image.Image, ...] = ()
    glue: str | None = None
    weights: tuple[float, ...] = (1.0,)

    def __call__(self) -> None: ...


def test_numbers_without_end_can_be_written(result: ErasureResult, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, "erase", collage=Collage)
    method = Collage(weights=(float("inf"), 1.0))
    assert ran(code.again(changed(result, method=method)))["method"] == method


def test_a_setting_that_is_an_object_is_left_open_and_it_says_so(
    result: ErasureResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(monkeypatch, "erase", collage=Collage)
    text = code.again(changed(result, method=Collage((Image.new("RGB", (2, 2)),), glue="flour", weights=(0.5,))))
    assert "tp.methods.Collage(pictures=..., glue='flour', weights=(0.5,))" in text
    assert re.search(r"^# The setting pictures was an object that has no code: .*PIL\.Image", text, re.MULTILINE)


def test_a_method_that_is_not_known_here_shows_all_its_settings(result: ErasureResult) -> None:
    other = changed(result)
    other.run.identity["method"] = {"name": "Elsewhere", "settings": {"a": 1, "b": [2, [3]], "c": {"d": [4]}}}
    assert "tp.methods.Elsewhere(a=1, b=(2, (3,)), c={'d': (4,)})" in code.again(other)


@pytest.mark.parametrize("write", [code.again, code.use])
def test_a_pipeline_object_is_named_and_not_loaded_by_its_class(result: ErasureResult, write: Any) -> None:
    text = write(changed(result, about={"name": "StableDiffusionPipeline", "dtype": "float16"}))
    assert "model = tp.load(pipeline)\n" in text
    assert "# The model was a pipeline object, a StableDiffusionPipeline" in text
    assert "ab" * 32 in text


@pytest.mark.parametrize("write", [code.again, code.use])
def test_a_dtype_is_written_where_load_would_choose_another(result: ErasureResult, write: Any) -> None:
    assert "dtype" not in write(result)
    assert "dtype" not in write(changed(result, about={"device": "cuda:0", "dtype": "float16"}))
    text = write(changed(result, about={"dtype": "bfloat16"}))
    assert text.startswith("import torch\n")
    assert "model = tp.load('emoji', dtype=torch.bfloat16)\n" in text


@pytest.mark.parametrize("write", [code.again, code.use])
def test_edits_that_were_on_the_model_are_told_in_order(result: ErasureResult, write: Any) -> None:
    lines = write(changed(result, changes=["11" * 32, "22" * 32])).splitlines()
    told = lines.index("model = tp.load('emoji')") + 1
    assert lines[told].startswith("# These edits were on it, in this order")
    assert lines[told + 1 : told + 3] == [f"# {'11' * 32}", f"# {'22' * 32}"]


def test_a_saved_edit_and_a_saved_guidance_are_loaded_by_what_they_are(result: ErasureResult) -> None:
    assert "change = tp.Edit.load('edit.safetensors')" in code.use(result)
    made = tp.methods.NegativePrompt().guidance((CHURCH,))
    text = code.use(replace(result, edit=GuidanceChange(made, Provenance("NegativePrompt", {}, (CHURCH,)))))
    assert "change = load_change(" in text
    assert "from turpentine.edits import load_change" in text


def test_texts_from_outside_stay_texts(result: ErasureResult, tmp_path: Path) -> None:
    hostile = "x'); import os\n\x1b[2J\u202e"
    other = changed(result, about={"name": hostile}, changes=[])
    other.run.identity["method"]["settings"] = {"erase_from": hostile}
    text = code.again(other)
    assert not re.search("[\x1b\u202e]", text)
    assert ran(text)["method"] == tp.methods.ESD(erase_from=hostile)
