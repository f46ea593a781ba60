"""`turpentine attack` and `turpentine generate --artefact`, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import torch

import turpentine as tp
from turpentine.cli.attack import _check_free, attack, with_attack
from turpentine.core.errors import BrokenPlugin
from turpentine.core.plugins import plugins
from turpentine.edits import Edit, Provenance
from turpentine.models import Artefact, load

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def edit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small edit of the embedded model, which names church."""
    model = load()
    path = tmp_path_factory.mktemp("edit") / "church.safetensors"
    name = "unet.conv_in.bias"
    delta = torch.ones_like(model.parameter(name))
    erased = (tp.Concept("church"),)
    Edit({name: delta}, Provenance(method="mine", concepts=erased, base=model.fingerprint, model=model.name)).save(path)
    return path


def test_an_edit_is_attacked_beside_controls_and_its_artefact_is_drawn_again(
    command: Command, edit: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    line = ("attack", str(edit), "--attack", "completion", "--share", "0.5", "--pictures", "2", "--steps", "2")
    code, printed, error = command(*line, "--out", str(out))
    assert code == 0, error
    assert "completion" in printed and "only hidden" in printed and "about" in printed
    assert "church<span>, attacked" in (out / "attack.html").read_text()
    rows = pl.read_parquet(out / "table.parquet")
    assert set(rows["attack"]) == {"no attack", "completion"}
    assert set(rows["arm"]) == {"edited", "original", "only hidden", "never seen"}
    assert "the file names the" in printed and 'id="leak"' in (out / "attack.html").read_text()
    file = out / "completion.safetensors"
    assert Artefact.load(file).first == 1
    again = ("generate", "--artefact", str(file), "--edit", str(edit), "--seeds", "0-1", "--steps", "2")
    code, printed, error = command(*again, "--out", str(tmp_path / "pictures"))
    assert code == 0, error
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 5  # two prompts with two seeds, and the sheet


@pytest.mark.usefixtures("loaded_once")
def test_a_list_of_prompts_is_an_attack_and_a_filter_can_be_attacked(
    command: Command, edit: Path, tmp_path: Path
) -> None:
    listed, change = tmp_path / "mma.csv", tmp_path / "filter.json"
    listed.write_text("target_prompt,adv_prompt\na church,church church\na church,sunday prayer\n")
    model = load()
    tp.erase.PromptFilter()(model, tp.Concept("church")).save(change)
    line = ("attack", str(change), "--prompts", str(listed), "--pictures", "2", "--steps", "2", "--never", "none")
    code, printed, error = command(*line, "--json", "--out", str(tmp_path / "out"))
    assert code == 0, error
    told = json.loads(printed)
    assert told["leak"] is None and told["attacks"]["prompt-list"]["prompts"] == 2
    rates = {(row["attack"], row["arm"]): row["hits"] for row in told["rows"]}
    assert rates["no attack", "edited"] == 0 and ("prompt-list", "never seen") not in rates
    assert rates["no attack", "original"] == 2


def test_attacks_are_listed(command: Command) -> None:
    code, printed, _ = command("attack", "--list", "--json")
    assert code == 0
    listed = {each["name"]: each for each in json.loads(printed)["attacks"]}
    assert listed["cce"]["needs"] == "references, text encoder, weights" and listed["cce"]["default"]


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        ((), "There is nothing to attack"),
        (("--against", "original"), "There is no concept"),
        (("--concept", "church", "--attack", "esd-x", "--against", "original"), "esd-x erases"),
        (("--concept", "church", "--against", "original", "--max-forward", "0"), "--max-forward"),
        (("--concept", "church", "--against", "original", "--never", "yeti"), "There are no pictures of 'yeti'"),
        (("--concept", "church", "--against", "original", "--never-references", "x.png"), "give it by --never"),
        (("--concept", "church", "--against", "original", "--attack", "prompt-list"), "needs a file of prompts"),
        (("--concept", "church", "--against", "original", "--prompts", "none.csv"), "none.csv cannot be read"),
        (("nowhere.safetensors", "--concept", "church"), "nowhere.safetensors"),
    ],
)
def test_what_cannot_be_attacked_is_refused_in_a_sentence(command: Command, tokens: tuple[str, ...], why: str) -> None:
    code, _, error = command("attack", *tokens)
    assert code == 2 and why in error and "Traceback" not in error


@pytest.mark.usefixtures("loaded_once")
def test_one_attack_stops_too_where_the_original_does_not_draw_the_concept(command: Command, tmp_path: Path) -> None:
    line = ("attack", "--against", "original", "--concept", "church", "--attack", "seed-search", "--out", str(tmp_path))
    code, _, error = command(*line, "--pictures", "4", "--steps", "1", "--guidance-scale", "0")
    assert code == 2 and "itself draws 'church' in" in error and "nothing to bring back" in error
    assert not list(tmp_path.rglob("*.html"))


def test_no_setting_of_an_attack_is_a_flag_of_the_command() -> None:
    for name in plugins("attack"):
        with_attack(attack, ("--attack", name))

    @dataclass(frozen=True)
    class Flags:
        steps: int = 3

    with pytest.raises(BrokenPlugin, match="'mine' has a setting steps"):
        _check_free("mine", Flags)


def test_an_artefact_that_does_not_fit_is_refused(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    path = tmp_path / "word.safetensors"
    Artefact(("a <concept>",), vectors={"text": torch.zeros(1, 3)}).save(path)
    code, _, error = command("generate", "--artefact", str(path), "--model", tiny_folder, "--out", str(tmp_path / "o"))
    assert code == 2 and "have 3 numbers and the model's have" in error
    name = tmp_path / "edit.safetensors"
    Edit({"unet.conv_in.bias": torch.ones(8)}).save(name)
    code, _, error = command("generate", "--artefact", str(name), "--model", tiny_folder, "--out", str(tmp_path / "o"))
    assert code == 2 and "is a Turpentine edit and no artefact" in error
