from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

import turpentine as tp
from turpentine.edits import Edit, Provenance

Command = Callable[..., tuple[int, str, str]]


def _edit(tiny_folder: str, path: Path, base: str | None = None) -> Edit:
    model = tp.load(tiny_folder)
    name = "unet.conv_out.weight"
    edit = Edit({name: model.parameter(name).detach() * 0.5}, Provenance(base=base or model.fingerprint))
    edit.save(path)
    return edit


def test_the_folder_draws_what_the_edited_model_draws(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    edit = _edit(tiny_folder, tmp_path / "edit.safetensors")
    out = tmp_path / "baked"
    code, printed, _ = command(
        "apply", f"{tmp_path / 'edit.safetensors'}:0.5", "--model", tiny_folder, "--out", str(out), "--json"
    )
    assert code == 0
    assert json.loads(printed) == {"folder": str(out), "edits": [edit.scaled(0.5).id]}
    model = tp.load(tiny_folder)
    edit.scaled(0.5).apply(model)
    (expected,), (found,) = (each.generate("a dog", steps=2) for each in (model, tp.load(out)))
    assert np.abs(np.asarray(expected, int) - np.asarray(found, int)).max() <= 2


def test_a_wrong_base_is_refused_and_nothing_is_written(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    _edit(tiny_folder, tmp_path / "edit.safetensors", base="0" * 64)
    out = tmp_path / "baked"
    code, printed, err = command("apply", str(tmp_path / "edit.safetensors"), "--model", tiny_folder, "--out", str(out))
    assert (code, printed) == (2, "")
    assert err.count("\n") == 1
    assert not out.exists()


def test_no_edit_is_refused(command: Command, tmp_path: Path) -> None:
    code, _, err = command("apply", "--out", str(tmp_path / "baked"))
    assert code == 2
    assert "no edit" in err
