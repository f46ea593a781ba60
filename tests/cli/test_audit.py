"""`turpentine audit`, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import turpentine as tp
from turpentine.attack.controls import swapped_word
from turpentine.attack.victim import Victim
from turpentine.edits import Edit, Provenance
from turpentine.emoji import oracles
from turpentine.models import Model, load

Command = Callable[..., tuple[int, str, str]]
FEW = ("--attack", "completion", "--pictures", "20", "--steps", "2", "--guidance-scale", "1")


@pytest.fixture(autouse=True)
def _shared(loaded_once: None) -> None:
    """Commands share one model, which audits leave as it was."""


@pytest.fixture(scope="module")
def model() -> Model:
    return load()


@pytest.fixture(scope="module")
def edit(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an edit of the embedded model that erases church, at no strength."""
    folder = tmp_path_factory.mktemp("edits") / "nothing"
    folder.mkdir()
    change = swapped_word(Victim(model), tp.Concept("church"))
    change.scaled(0.0).save(folder / Edit.file_name)
    return folder


def test_edits_are_compared_in_one_table_each_with_its_page_and_exit_codes_are_for_other_programs(
    command: Command, edit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files of one edit: the second one's pictures are drawn already. As of a concept without an oracle."""
    monkeypatch.setattr(oracles, "SHIPPED", tmp_path)
    twin, rates, out = tmp_path / "twin.safetensors", tmp_path / "rates.json", tmp_path / "out"
    twin.write_bytes((edit / Edit.file_name).read_bytes())
    rates.write_text(
        json.dumps(
            {
                **{"schema": 1, "judge": "emoji", "concept": "church", "plan": "ab12"},
                **{"sensitivity": [90, 100], "specificity": [99, 100]},
            }
        )
    )
    line = ("audit", str(edit), str(twin), *FEW, "--judge-error", str(rates), "--out", str(out))
    code, printed, error = command(*line)
    assert code == 3, error
    printed = " ".join(printed.split())
    assert "1 attack on 5 arms, 20 pictures" in printed and "never that a concept is gone" in printed
    assert "No oracle of church ships" in printed and "oracle 'church' trains one" in printed
    table = pl.read_parquet(out / "comparison.parquet")
    assert table["edit"].to_list() == ["nothing", "twin"] and table["verdict"].to_list() == ["not erased"] * 2
    assert table["fid"].to_list() == pytest.approx([0, 0]) and table["weights"][0] == table["weights"][1] > 0
    page = (out / "comparison.html").read_text()
    assert 'href="nothing/audit.html"' in page and 'href="twin/audit.html"' in page and "turpentine audit" in page
    own = (out / "nothing" / "audit.html").read_text()
    assert "<h1>church<span>, not erased" in own and "two objects in their places" in own
    assert "By the second judge, zero-shot" in own and "sensitivity 90 of 100" in own and "plan ab12" in own
    code, printed, error = command("audit", str(twin), *line[3:], "--json")
    assert code == 3, error
    record = json.loads(printed)
    written = json.loads((out / "audit.json").read_text())
    assert record == {**written, "files": record["files"]} and record["exit_code"] == 3
    assert record["second"]["judge"] == "zero-shot" and record["verdict"] == "not erased"
    measures = {row["measure"] for row in record["damage"]["measures"]}
    assert {"what is most like it", "works", "FID from the world's", "diversity of seeds", "CLIP score"} <= measures
    groups = {row["attack"] for row in record["rates"]}
    assert {"implied", "with another object", "kinds of it", "what it is a kind of"} <= groups


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--minutes", "0"), "--minutes is 0.0: give a number above 0"),
        (("--minutes", "0.0001"), "do not reach for an audit that decides anything"),
        (("--pictures", "5"), "5 pictures decide nothing: give 20 or more"),
        (("--pictures", "20", "--quick"), "--quick takes few pictures and --pictures says how many"),
        (("--max-judged", "0"), "--max-judged"),
        (("--never", "dog"), "no pictures of 'dog': give some by --never-references, or, in the emoji world, choose"),
        (("--attack", "uce"), "uce"),
        (("--concept", " "), "There is no concept"),
        (("--concept", "chruch"), "church"),
        (("--by", "none"), "There is no judge"),
        (("--second", "nobody"), "nobody"),
        (("--judge-error", "nowhere.json"), "There is no file nowhere.json"),
        (("--oracle", "emoji", "--quick"), "is emoji itself"),
        (("--oracle", "nowhere"), "nowhere"),
        (("--oracle", "emoji-without-dog"), "No oracle emoji-without-dog ships with this version"),
        (("--unnamed", "emoji-unnamed-dog"), "emoji oracle 'dog' --unnamed trains one"),
        (("--oracle", "auto", "--oracle", "emoji"), "--oracle is auto and emoji: give auto, none, or models alone"),
        (("--original", "emoji"), "leave out --original, or the file"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    command: Command, edit: Path, tmp_path: Path, flags: tuple[str, ...], why: str
) -> None:
    code, _, error = command("audit", str(edit), "--out", str(tmp_path / "out"), *flags)
    assert code == 2 and why in " ".join(error.split()) and "Traceback" not in error
    assert not list((tmp_path / "out").rglob("audit.*"))


def test_what_is_no_edit_of_the_model_is_refused(command: Command, model: Model, tmp_path: Path) -> None:
    assert command("audit", str(tmp_path / "missing.safetensors"))[0] == 2
    code, _, error = command("audit")
    assert code == 2 and "There is no edit to audit: write turpentine audit" in error
    code, _, error = command("audit", "--model", "emoji", "--original", "emoji")
    assert code == 2 and "does not say what was erased" in error
    name = "unet.conv_in.bias"
    path = tmp_path / "foreign.safetensors"
    Edit({name: model.parameter(name).detach() * 0 + 1}, Provenance(base="0" * 64)).save(path)
    code, _, error = command("audit", str(path), "--concept", "church", "--out", str(tmp_path / "out"))
    assert code == 2 and "another model" in error and not (tmp_path / "out").exists()


def test_a_whole_model_by_others_is_held_against_what_it_was_made_from(
    command: Command, model: Model, tmp_path: Path
) -> None:
    """The same model in a folder is no edit; one of another size is none of this one."""
    from tiny import tiny_sd1

    pipeline = tiny_sd1()
    pipeline.unet.register_to_config(sample_size=4)
    pipeline.save_pretrained(tmp_path / "other")
    line = ("--original", "emoji", "--concept", "church", *FEW, "--out", str(tmp_path / "out"))
    code, _, error = command("audit", "--model", str(tmp_path / "other"), *line)
    assert code == 2 and "is no edit of emoji, which is built otherwise" in error


def test_oracles_are_looked_up_by_name_and_by_where_they_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from turpentine.cli.audit_choice import AuditChoice

    for name in ("emoji-without-church-0", "emoji-without-church-2", "emoji-without-church-spire-0"):
        (tmp_path / "runs" / name / "weights").mkdir(parents=True)
        (tmp_path / "runs" / name / "weights" / "model_index.json").touch()
    (tmp_path / "shipped" / "emoji-without-church").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(oracles, "SHIPPED", tmp_path / "shipped")
    choice = AuditChoice()
    own = [f"runs/emoji-without-church-{seed}/weights" for seed in (0, 2)]
    assert choice.oracles("church", unnamed=False, is_world=True) == ["emoji-without-church", *own]
    assert choice.oracles("church", unnamed=True, is_world=True) == []
    assert choice.oracles("church", unnamed=False, is_world=False) == []
    assert AuditChoice(oracle=("none",)).oracles("church", unnamed=False, is_world=True) == []
    assert AuditChoice(oracle=("a", "b")).oracles("church", unnamed=False, is_world=True) == ["a", "b"]
