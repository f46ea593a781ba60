"""Pictures that attacks and audits are given, and the control of what a model never saw, on models of no world."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch
from judges.toys import pictures, saved_classifier
from transformers import ResNetForImageClassification

import turpentine as tp
from turpentine.attack.controls import swapped_word
from turpentine.attack.victim import Victim
from turpentine.bench import erasure_judges
from turpentine.cli.reference_choice import ReferenceChoice
from turpentine.core.errors import BadArgument
from turpentine.edits import Edit
from turpentine.judges.zero_shot import ZeroShot
from turpentine.models import Model, load

Command = Callable[..., tuple[int, str, str]]
QUICK = ("--attack", "seed-search", "--pictures", "20", "--steps", "1", "--second", "none")


@pytest.fixture(scope="module")
def seer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A classifier that sees a church in every picture, and never a crane."""
    folder = saved_classifier(tmp_path_factory.mktemp("seer"))
    network = ResNetForImageClassification.from_pretrained(folder)
    with torch.no_grad():
        network.classifier[-1].weight.zero_()
        network.classifier[-1].bias.copy_(torch.tensor([5.0, 0.0, 0.0]))
    network.save_pretrained(folder)
    return f"classifier: {{model: {folder}, labels: [church, crane]}}"


@pytest.fixture(scope="module")
def model(tiny_folder: str) -> Model:
    return load(tiny_folder)


@pytest.fixture(scope="module")
def edit(model: Model, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of an edit of a model of no world, at no strength."""
    path = tmp_path_factory.mktemp("edit") / "church.safetensors"
    swapped_word(Victim(model), tp.Concept("church"), "cat").scaled(0.0).save(path)
    assert Edit.load(path).provenance.concepts[0].text == "church"
    return str(path)


@pytest.fixture(scope="module")
def cranes(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("cranes")
    for number, picture in enumerate(pictures(2, 16, 16)):
        picture.save(folder / f"{number}.png")
    return str(folder)


@pytest.fixture(autouse=True)
def _shared(loaded_once: None) -> None:
    """Commands share one model, which they leave as it was."""


def test_a_model_of_no_world_is_audited_against_what_it_never_saw(
    command: Command, edit: str, tiny_folder: str, seer: str, cranes: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    line = ("audit", edit, "--model", tiny_folder, "--by", seer, *QUICK, "--out", str(out))
    code, printed, error = command(*line, "--never", "crane", "--never-references", cranes)
    assert code == 3, error
    printed = " ".join(printed.split())
    assert "1 attack on 4 arms" in printed and "There is no oracle" in printed and "--oracle names a model" in printed
    record = json.loads((out / "audit.json").read_text())
    assert record["verdict"] == "not erased" and record["protocol"]["never"] == "crane"
    rows = pl.read_parquet(out / "audit.parquet").filter(attack="seed-search")
    assert dict(rows.select("arm", "hits").rows()) == {"edited": 20, "original": 20, "hidden": 20, "never": 0}


def test_pictures_of_the_concept_are_what_attacks_are_given(
    command: Command, edit: str, tiny_folder: str, seer: str, cranes: str, tmp_path: Path
) -> None:
    """With the same seeds, other pictures lead partial editing elsewhere; here the artefact holds them as latents."""
    line = ("attack", edit, "--model", tiny_folder, "--by", seer, "--attack", "partial-editing", "--steps", "2")
    line = (*line, "--pictures", "2", "--never", "none", "--json")
    artefacts = []
    for name, more in (("own", ()), ("given", ("--references", cranes))):
        code, _, error = command(*line, *more, "--out", str(tmp_path / name))
        assert code == 0, error
        artefacts.append((tmp_path / name / "partial-editing.safetensors").read_bytes())
    assert artefacts[0] != artefacts[1]


@pytest.mark.parametrize("name", ["attack", "audit"])
def test_what_was_never_seen_is_refused_before_anything_is_drawn(
    command: Command,
    edit: str,
    tiny_folder: str,
    seer: str,
    cranes: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setattr(Model, "generate", None)
    line = (name, edit, "--model", tiny_folder, "--by", seer, "--out", str(tmp_path / "out"))
    for more, why in [
        (("--never", "yeti"), "There are no pictures of 'yeti': give some by --never-references"),
        (("--never", "octopus"), "There are pictures of octopus for the emoji world alone: give --never-references"),
        (("--never-references", cranes), "--never-references are pictures of a concept without a name"),
        (("--never", "yeti", "--never-references", cranes), "has no label for 'yeti'"),
        (("--never", "yeti", "--never-references", "nowhere.png"), "nowhere.png"),
    ]:
        code, _, error = command(*line, *more)
        assert code == 2 and why in " ".join(error.split()) and "Traceback" not in error, error
    assert not (tmp_path / "out").exists()


def test_an_audit_without_an_oracle_and_without_a_control_says_what_either_takes(
    command: Command, edit: str, tiny_folder: str, seer: str, tmp_path: Path
) -> None:
    code, _, error = command("audit", edit, "--model", tiny_folder, "--by", seer, "--out", str(tmp_path / "out"))
    error = " ".join(error.split())
    assert code == 2 and "give --oracle" in error and "or --never and --never-references" in error


def test_clip_is_asked_for_what_was_never_seen_by_its_own_labels(
    model: Model, cranes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zero-shot judge of another concept may have no label for it; this one is of it."""
    monkeypatch.setattr(erasure_judges.ZeroShot, "download", None)  # as if the weights were here
    choice = ReferenceChoice(never="crane", never_references=(Path(cranes),))
    for by in (None, "clip"):
        never = choice.never_of(model, by)
        assert never is not None
        name, given, judge = never
        assert isinstance(judge, ZeroShot) and next(iter(judge.descriptions)) == "crane"
        assert name == "crane" and len(given) == 2
    with pytest.raises(BadArgument, match="no judge"):
        choice.never_of(model, "none")


def test_in_the_emoji_world_there_are_pictures_and_a_judge_and_given_ones_stand_in_their_place(cranes: str) -> None:
    world = load()
    default, given = (choice.never_of(world, None) for choice in (ReferenceChoice(), _anchors(cranes)))
    assert default is not None and given is not None
    assert default[0] == "mushroom" and default[2].columns["unseen"].labels == ("mushroom", "other")
    assert given[0] == "anchor" and len(given[1]) == 2 and given[2].columns["unseen"].labels == ("anchor", "other")
    assert ReferenceChoice(never="none").never_of(world, None) is None


def _anchors(folder: str) -> ReferenceChoice:
    return ReferenceChoice(never="anchor", never_references=(Path(folder),))
