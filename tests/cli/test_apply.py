from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import turpentine as tp
from turpentine.edits import Edit, Provenance, Zeroed

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
    assert json.loads(printed) == {"folder": str(out), "edits": [edit.scaled(0.5).id], "signatures_left_out": []}
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


def test_a_single_file_holds_the_edited_weights(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    edit, out = _edit(tiny_folder, tmp_path / "edit.safetensors"), tmp_path / "model.safetensors"
    code, printed, _ = command("apply", str(tmp_path / "edit.safetensors"), "--model", tiny_folder, "--out", str(out))
    assert code == 0
    assert "1 edit baked in" in printed
    model = tp.load(tiny_folder)
    edit.apply(model)
    written = load_file(out)["model.diffusion_model.out.2.weight"]
    assert torch.equal(written, model.parameter("unet.conv_out.weight"))


def test_a_lora_tells_what_it_leaves_out(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    _edit(tiny_folder, tmp_path / "edit.safetensors")
    for rank, is_lossy in ((1, True), (4, False)):
        out = tmp_path / f"lora{rank}.safetensors"
        line = ["apply", str(tmp_path / "edit.safetensors"), "--model", tiny_folder, "--out", str(out), "--to", "lora"]
        code, printed, _ = command(*line, "--rank", str(rank), "--json")
        assert code == 0
        told = json.loads(printed)
        assert told["rank"] == rank
        assert told["residual"] > 0.1 if is_lossy else told["residual"] < 1e-5
        assert told["residuals"] == {"unet.conv_out.weight": pytest.approx(told["residual"])}
    assert len(load_file(out)) == 2
    out.unlink()
    code, printed, _ = command(*line)
    assert code == 0
    assert "a LoRA of rank 4" in printed
    assert "less than 0.01 % of the change" in printed
    assert "unet.conv_out.weight" in printed


def test_what_others_publish_is_applied_or_kept_as_an_edit(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    model = tp.load(tiny_folder)
    weight = model.parameter("unet.conv_out.weight").detach()
    save_file({"conv_out.weight": 1.5 * weight}, tmp_path / "esd-church.safetensors")
    line = ["apply", str(tmp_path / "esd-church.safetensors"), "--model", tiny_folder]
    code, _, _ = command(*line, "--to", "edit", "--out", str(tmp_path / "edit.safetensors"))
    assert code == 0
    edit = Edit.load(tmp_path / "edit.safetensors")
    assert torch.allclose(edit.deltas["unet.conv_out.weight"], 0.5 * weight)
    code, _, _ = command(*line, "--out", str(tmp_path / "baked"))
    assert code == 0
    assert torch.allclose(tp.load(tmp_path / "baked").parameter("unet.conv_out.weight"), 1.5 * weight)


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (["no.safetensors", "--out", "new"], "no.safetensors"),
        (["model.ckpt", "--out", "new"], "weights_only=True"),
        (["guidance.json", "--out", "new"], "guidance.json"),
        (["edit.safetensors", "--out", "edit.safetensors"], "exists already"),
        (["edit.safetensors", "no.safetensors", "--to", "edit", "--out", "new.safetensors"], "no.safetensors"),
        (["edit.safetensors", "--rank", "4", "--out", "new"], "--to lora"),
        (["edit.safetensors", "--rank", "0", "--to", "lora", "--out", "new"], 'Invalid value "0" for --rank'),
        (["edit.safetensors", "--to", "pickle", "--out", "new"], "pickle"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_written(
    command: Command, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _edit(tiny_folder, tmp_path / "edit.safetensors")
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x04never read")
    (tmp_path / "guidance.json").write_text("{}")
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    code, printed, err = command("apply", *tokens, "--model", tiny_folder)
    assert (code, printed) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("form", ["lora", "single-file", "edit"])
def test_a_file_gets_the_ending_by_which_programs_know_it(
    command: Command, tiny_folder: str, tmp_path: Path, form: str
) -> None:
    _edit(tiny_folder, tmp_path / "edit.safetensors")
    tokens = ["apply", str(tmp_path / "edit.safetensors"), "--model", tiny_folder, "--to", form]
    code, printed, _ = command(*tokens, "--out", str(tmp_path / "NAME.v1"))
    assert code == 0 and f"{tmp_path / 'NAME.v1.safetensors'} holds" in printed
    assert (tmp_path / "NAME.v1.safetensors").is_file() and not (tmp_path / "NAME.v1").exists()
    code, _, err = command(*tokens, "--out", str(tmp_path / "NAME.v1"))
    assert code == 2 and "NAME.v1.safetensors exists already" in err


def test_several_edits_become_one_file(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    one, model = _edit(tiny_folder, tmp_path / "one.safetensors"), tp.load(tiny_folder)
    other = Edit({"unet.conv_in.bias": torch.ones(8)}, Provenance(base=model.fingerprint))
    other.save(tmp_path / "other.safetensors")
    line = ["apply", str(tmp_path / "one.safetensors"), f"{tmp_path / 'other.safetensors'}:-2", "--model", tiny_folder]
    code, printed, err = command(*line, "--to", "edit", "--out", str(tmp_path / "both"))
    assert code == 0, err
    assert "both.safetensors holds" in printed
    assert Edit.load(tmp_path / "both.safetensors") == one + -2 * other


def test_what_one_file_cannot_say_is_refused(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    base = tp.load(tiny_folder).fingerprint
    name = "unet.conv_in.bias"
    Edit({}, Provenance(base=base), zeroed={name: Zeroed((8,), torch.tensor([1]))}).save(tmp_path / "a.safetensors")
    Edit({name: torch.ones(8)}, Provenance(base=base)).save(tmp_path / "b.safetensors")
    files = [str(tmp_path / f"{each}.safetensors") for each in "ab"]
    code, _, err = command("apply", *files, "--to", "edit", "--out", str(tmp_path / "c"), "--model", tiny_folder)
    assert code == 2 and "merge it before that one" in err and err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_what_carries_no_signature_says_so(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    path = tmp_path / "edit.safetensors"
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    _edit(tiny_folder, path).sign(key).save(path)
    line = ["apply", str(path), "--model", tiny_folder, "--out"]
    code, printed, _ = command(*line, str(tmp_path / "edited"))
    assert code == 0 and "It carries no signature: that of" in printed and "edit.safetensors" in printed
    code, printed, _ = command(*line, str(tmp_path / "l.safetensors"), "--to", "lora", "--json")
    assert code == 0 and json.loads(printed)["signatures_left_out"] == [str(path)]
    code, printed, _ = command(*line, str(tmp_path / "copy.safetensors"), "--to", "edit")
    assert code == 0 and "no signature" not in printed
    Edit.load(tmp_path / "copy.safetensors").verify(key.public_key())


def test_changed_weights_are_written_in_full_and_read_again(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    edit, out = _edit(tiny_folder, tmp_path / "edit.safetensors"), tmp_path / "esd-church"
    line = ["apply", "--model", tiny_folder, "--out"]
    code, printed, _ = command(*line, str(out), str(tmp_path / "edit.safetensors"), "--to", "weights")
    assert code == 0
    assert "that 1 edit changes, in full" in printed
    model = tp.load(tiny_folder)
    edit.apply(model)
    (written,) = load_file(f"{out}.safetensors").items()
    assert written[0] == "conv_out.weight"
    assert torch.equal(written[1], model.parameter("unet.conv_out.weight"))
    code, _, _ = command(*line, str(tmp_path / "again.safetensors"), f"{out}.safetensors", "--to", "edit")
    assert code == 0
    expected = written[1].clone()
    with Edit.load(tmp_path / "again.safetensors").on(tp.load(tiny_folder)) as again:
        assert torch.equal(again.parameter("unet.conv_out.weight"), expected)
