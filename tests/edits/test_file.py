"""An edit's file: what goes in comes out, and what was touched is found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from turpentine.concepts import Concept
from turpentine.core.errors import EditError
from turpentine.core.sealed import read_sealed, write_sealed
from turpentine.edits import Edit, Provenance

HALVES = torch.tensor([[0.5, -0.0, 2.0], [1.0, 3.0, -4.0]])
THIRDS = torch.arange(1, 8).float() / 3
PROVENANCE = Provenance(
    method="ESD",
    settings={"eta": 1.0, "sites": ("unet.a", "unet.b")},
    concepts=(Concept("église \x1b[31m", "style", ("{} style",), keep=("dog",)), Concept("dog")),
    measurements={"objective": (0.5, -3.0), "shown": "ef" * 32},
    seed=7,
    base="ab" * 32,
    model="a model",
    onto=("cd" * 32,),
)
EDIT = Edit({"unet.b.weight": THIRDS, "unet.a.weight": HALVES}, PROVENANCE, strength=-0.75)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("edits") / "church.safetensors"
    EDIT.save(path)
    return path


def test_what_is_saved_is_loaded(file: Path) -> None:
    loaded = Edit.load(file)
    assert loaded == EDIT
    assert loaded.id == EDIT.id
    assert loaded.provenance == EDIT.provenance
    assert loaded.strength == -0.75
    for name, delta in EDIT.deltas.items():
        assert torch.equal(loaded.deltas[name].view(torch.int32), delta.view(torch.int32))


def test_a_loaded_edit_outlives_its_file(tmp_path: Path) -> None:
    EDIT.save(tmp_path / "edit.safetensors")
    loaded = Edit.load(tmp_path / "edit.safetensors")
    (tmp_path / "edit.safetensors").write_bytes(b"")
    assert loaded == EDIT


def test_fp16_is_used_only_where_it_is_exact(file: Path) -> None:
    stored = load_file(file)
    assert stored["unet.a.weight"].dtype == torch.float16
    assert stored["unet.b.weight"].dtype == torch.float32


def test_the_metadata_says_where_the_edit_came_from(file: Path) -> None:
    with safe_open(file, framework="pt") as opened:
        content = json.loads(opened.metadata()["turpentine"])
    assert content["format"] == 1
    assert set(content["tensors"]) == set(EDIT.deltas)
    provenance = content["record"]["provenance"]
    assert provenance["base"] == "ab" * 32
    assert provenance["seed"] == 7
    assert provenance["concepts"][1]["text"] == "dog"
    assert {"torch", "diffusers", "turpentine"} <= set(provenance["versions"])


def test_saving_replaces_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "new" / "edit.safetensors"
    EDIT.scaled(2.0).save(path)
    EDIT.save(path)
    assert Edit.load(path) == EDIT
    assert [entry.name for entry in path.parent.iterdir()] == ["edit.safetensors"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_views_of_one_tensor_can_be_saved(tmp_path: Path) -> None:
    rows = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    edit = Edit({"unet.a": rows[0], "unet.b": rows[1], "unet.c": rows.T})
    edit.save(tmp_path / "edit.safetensors")
    assert Edit.load(tmp_path / "edit.safetensors") == edit


@given(st.data())
def test_any_flipped_bit_is_found(file: Path, data: st.DataObject) -> None:
    content = bytearray(file.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    _refused(file, bytes(content))


@given(st.data())
def test_any_cut_is_found(file: Path, data: st.DataObject) -> None:
    content = file.read_bytes()
    _refused(file, content[: data.draw(st.integers(0, len(content) - 1))])


def _refused(file: Path, content: bytes) -> str:
    altered = file.with_name("altered.safetensors")
    altered.write_bytes(content)
    with pytest.raises(EditError) as caught:
        Edit.load(altered)
    assert str(altered) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_flipped_bit_or_a_cut_in_a_tensor_names_it(file: Path) -> None:
    content = file.read_bytes()
    places = _places(content)
    assert set(places) == set(EDIT.deltas)
    for name, (start, stop) in places.items():
        flipped = bytearray(content)
        flipped[start + 1] ^= 0x10
        assert f"its tensor {name} does not match" in _refused(file, bytes(flipped))
        assert f"before its tensor {name} does" in _refused(file, content[: stop - 1])


def _places(content: bytes) -> dict[str, tuple[int, int]]:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__")
    return {name: tuple(8 + length + end for end in entry["data_offsets"]) for name, entry in header.items()}


def test_a_tensor_swapped_for_another_is_found(file: Path, tmp_path: Path) -> None:
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    path = tmp_path / "swapped.safetensors"
    save_file({"unet.a.weight": HALVES}, path, metadata)
    with pytest.raises(EditError, match=r"unet\.a\.weight does not match"):  # fp32, where fp16 was sealed
        Edit.load(path)
    save_file({"unet.a.weight": HALVES.half()}, path, metadata)
    with pytest.raises(EditError, match=r"unet\.b\.weight is missing"):
        Edit.load(path)


def test_other_files_are_not_edits(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.ones(2)}, path, {"format": "pt"})
    _says(path, "not a Turpentine edit")
    write_sealed(path, {"weight": torch.ones(2)}, {}, "checkpoint")
    _says(path, "is a Turpentine checkpoint and no edit")
    write_sealed(path, {"weight": torch.ones(2)}, {"strength": 1.0}, "edit")
    _says(path, "its record lacks 'provenance'")
    path.write_text('{"json": 1}')
    _says(path, "is JSON, but not of a Turpentine guidance")
    path.write_text("no header")
    _says(path, "header cannot be read")
    _says(tmp_path / "nothing.safetensors", "There is no edit at")
    _says(tmp_path, "is a folder: give the file of the edit")


def _says(path: Path, what: str) -> None:
    with pytest.raises(EditError, match=re.escape(what)) as caught:
        Edit.load(path)
    assert str(path) in str(caught.value)


def test_a_newer_format_asks_for_an_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "edit.safetensors"
    monkeypatch.setattr("turpentine.core.sealed.FORMAT", 2)
    EDIT.save(path)
    monkeypatch.setattr("turpentine.core.sealed.FORMAT", 1)
    _says(path, "has format 2")


def test_records_keep_their_kind(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_sealed(path, {"count": torch.tensor(3), "none": torch.empty(0)}, {"run": [1, "é"]}, "checkpoint")
    tensors, record = read_sealed(path, "checkpoint")
    assert int(tensors["count"]) == 3
    assert tensors["none"].shape == (0,)
    assert record == {"run": [1, "é"]}
