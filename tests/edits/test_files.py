"""Files of changes: which reader a file gets, whatever it is called, and what is said of one that has none."""

from __future__ import annotations

from pathlib import Path

import pytest
from edits.weights import NAMES, made_up
from safetensors.torch import save_file

from turpentine.concepts import Concept
from turpentine.core.errors import EditError, UnsafeFile
from turpentine.edits import Edit, load_change, read_edit
from turpentine.edits.files import Change
from turpentine.erase.guidance import NegativePrompt
from turpentine.models import Model


def changes(model: Model) -> dict[str, Change]:
    return {"edit": made_up(model), "guidance": NegativePrompt()(model, Concept("church"))}


@pytest.mark.parametrize("kind", ["edit", "guidance"])
@pytest.mark.parametrize("name", ["change", "change.json", "change.safetensors"])
def test_a_change_is_read_by_its_bytes_and_not_by_its_name(sd1: Model, tmp_path: Path, kind: str, name: str) -> None:
    change = changes(sd1)[kind]
    change.save(tmp_path / name)
    assert load_change(tmp_path / name) == change


def test_an_edit_is_not_read_from_a_guidance_which_says_how(sd1: Model, tmp_path: Path) -> None:
    changes(sd1)["guidance"].save(tmp_path / "change.safetensors")
    with pytest.raises(EditError, match="is a guidance and changes no weight"):
        Edit.load(tmp_path / "change.safetensors")


@pytest.mark.parametrize("text", ['{"a": 1}', "{", '{"kind": "card", "format": 1, "record": {}, "sha256": ""}'])
def test_json_of_others_is_called_neither_an_edit_nor_a_guidance(tmp_path: Path, text: str) -> None:
    (tmp_path / "change.json").write_text(text)
    with pytest.raises(EditError, match=r"change\.json is (JSON, but not of|a Turpentine card and no)"):
        Edit.load(tmp_path / "change.json")


@pytest.mark.parametrize(("name", "noun"), [("none.json", "guidance"), ("none.safetensors", "edit")])
def test_a_missing_file_is_named(tmp_path: Path, name: str, noun: str) -> None:
    with pytest.raises(EditError, match=rf"{noun}.*{name}"):
        load_change(tmp_path / name)


def test_an_edit_of_ours_and_one_of_others_are_both_read(sd1: Model, tmp_path: Path) -> None:
    edit = made_up(sd1, names=NAMES[:1])
    edit.save(tmp_path / "ours.safetensors")
    assert read_edit(tmp_path / "ours.safetensors", sd1) == edit
    published = sd1.parameter(NAMES[0]).detach() + edit.deltas[NAMES[0]]
    save_file({NAMES[0].removeprefix("unet."): published}, tmp_path / "theirs.safetensors")
    imported = read_edit(tmp_path / "theirs.safetensors", sd1)
    assert imported.names == (NAMES[0],)
    assert imported.provenance.method == "imported"


def test_what_is_no_edit_is_refused_with_the_way_out(sd1: Model, tmp_path: Path) -> None:
    changes(sd1)["guidance"].save(tmp_path / "guidance.json")
    with pytest.raises(EditError, match="is a guidance and changes no weight"):
        read_edit(tmp_path / "guidance.json", sd1)
    (tmp_path / "edit.pt").write_bytes(b"\x80\x04")
    with pytest.raises(UnsafeFile, match="weights_only=True"):
        read_edit(tmp_path / "edit.pt", sd1)
    with pytest.raises(EditError, match="There is no edit at"):
        read_edit(tmp_path / "nowhere", sd1)
