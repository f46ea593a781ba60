from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import turpentine as tp
from turpentine.cli.info_edit import bar
from turpentine.concepts import Concept
from turpentine.edits import Edit, Provenance, Zeroed, save_single_file

Command = Callable[..., tuple[int, str, str]]


def test_the_sites_are_told_with_names_and_sizes(command: Command, tiny_folder: str) -> None:
    code, out, _ = command("info", "--model", tiny_folder, "--kind", "cross-attention", "--json")
    assert code == 0
    told = json.loads(out)
    labels = [site["label"] for site in told["sites"]]
    assert labels == ["DOWN1", "MID", "UP1", "UP2"]
    model = tp.load(tiny_folder)
    for site in told["sites"]:
        assert site["weights"] == sum(weight.numel() for weight in model.module(site["name"]).parameters())
    assert told["model"]["fingerprint"] == model.fingerprint
    assert told["machine"]["torch"]


def test_the_same_is_told_to_a_person(command: Command, tiny_folder: str) -> None:
    code, out, _ = command("info", "--model", tiny_folder, "--label", "MID")
    assert code == 0
    assert "unet.mid_block.attentions.0.transformer_blocks.0.attn2" in out
    assert "16 x 16" in out


@pytest.mark.parametrize(("name", "picture"), [("emoji", "32 x 32"), ("emoji-64", "64 x 64")])
def test_a_model_that_ships_is_shown_by_its_name(command: Command, loaded_once: None, name: str, picture: str) -> None:
    code, out, err = command("info", name, "--kind", "sampler", "--json")
    assert code == 0, err
    facts = json.loads(out)["model"]
    assert (facts["name"], facts["family"], facts["picture"], facts["world"]) == (
        name,
        "Stable Diffusion",
        picture,
        "emoji",
    )
    assert facts["sites"]["cross-attention"] == 16
    assert Path(facts["card"]).read_text(encoding="utf-8").startswith("# ")


def test_a_folder_and_a_single_file_of_a_model_are_shown_too(
    command: Command, tiny_folder: str, tmp_path: Path
) -> None:
    file = tmp_path / "one.safetensors"
    save_single_file(tp.load(tiny_folder), file)
    for place in (tiny_folder, str(file)):
        code, out, err = command("info", place, "--label", "MID")
        assert code == 0, err
        assert "16 x 16" in out and "9 cross" not in out and "cross-attention" in out and "emoji" not in out
    code, _, err = command("info", tiny_folder, "--model", str(file))
    assert code == 2 and "leave one of them out" in err


def test_a_selection_of_nothing_says_what_exists(command: Command, tiny_folder: str) -> None:
    code, _, err = command("info", "--model", tiny_folder, "--kind", "nose")
    assert code == 2
    assert "'nose'" in err
    assert "cross-attention" in err


BLOCK = "unet.up_blocks.{}.attentions.0.transformer_blocks.0"
EDIT = Edit(
    {
        BLOCK.format(10) + ".attn2.to_k.weight": torch.full((2, 2), 3.0),
        BLOCK.format(2) + ".attn2.to_v.weight": torch.full((2, 2), 0.5),
        BLOCK.format(2) + ".attn2.to_k.weight": torch.ones(2, 2),
        "unet.conv_in.bias": torch.ones(4),
    },
    Provenance(
        "ESD",
        {"eta": 1.5},
        (Concept("\x1b[31mchurch"),),
        seed=7,
        base="ab" * 32,
        model="a model",
        measurements={"objective": (0.123456, 2.0)},
    ),
    strength=-0.5,
    zeroed={BLOCK.format(2) + ".attn2.to_k.weight": Zeroed((2, 2), torch.tensor([0, 3]))},
)


def test_an_edits_file_is_told_site_by_site(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "edit.safetensors"
    EDIT.save(path)
    code, out, _ = command("info", str(path), "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["id"], told["strength"], told["bytes"]) == (EDIT.id, -0.5, path.stat().st_size)
    assert told["provenance"]["method"] == "ESD"
    assert [(site["site"], site["tensors"], site["weights"], site["zeroed"]) for site in told["sites"]] == [
        ("unet.conv_in", 1, 4, 0),
        (BLOCK.format(2) + ".attn2", 2, 8, 2),
        (BLOCK.format(10) + ".attn2", 1, 4, 0),
    ]
    assert [site["norm"] for site in told["sites"]] == pytest.approx([1.0, 0.5 * math.sqrt(2 + 4 * 0.25), 3.0])


def test_and_so_to_a_person(command: Command, tmp_path: Path) -> None:
    EDIT.save(tmp_path / "edit.safetensors")
    code, out, _ = command("info", str(tmp_path / "edit.safetensors"))
    assert code == 0
    assert "\x1b" not in out
    for part in ("ESD", "[31mchurch (object)", "eta 1.5", "objective 0.1235 2", "abababab", f"{EDIT.id}", "3 sites"):
        assert part in out
    bars = [line.count("█") for line in out.splitlines() if ".attn2" in line]
    assert bars[1] == 24 > bars[0] > 0


def test_an_edit_that_only_zeroes_has_shares(command: Command, tmp_path: Path) -> None:
    Edit(zeroed={"unet.a.weight": Zeroed((4, 4), torch.tensor([1, 2]))}).save(tmp_path / "edit.safetensors")
    _, out, _ = command("info", str(tmp_path / "edit.safetensors"))
    assert "share" in out
    assert "0.125" in out
    assert "█" * 24 in out


def test_bars_are_fine_to_an_eighth() -> None:
    assert [bar(0), bar(1 / 192), bar(0.5), bar(1)] == ["", "▏", "█" * 12, "█" * 24]


def test_other_files_are_refused_with_the_way_on(command: Command, tmp_path: Path) -> None:
    save_file({"conv_out.weight": torch.ones(2)}, tmp_path / "esd.safetensors")
    (tmp_path / "model.ckpt").write_bytes(b"never read")
    for name, says in (("esd.safetensors", "--to edit"), ("model.ckpt", "pickle"), ("none", "check the path")):
        code, out, err = command("info", str(tmp_path / name))
        assert (code, out) == (2, "")
        assert says in err
        assert err.count("\n") == 1
    assert command("info", str(tmp_path / "esd.safetensors"), "--kind", "norm").code == 2


def test_a_folder_of_pictures_is_no_edit_that_could_be_imported(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a-church-seed0.png").touch()
    code, out, err = command("info", str(tmp_path))
    assert (code, out) == (2, "")
    assert err == f"There is no edit in {tmp_path}: give the file of one, or the folder of a run.\n"


def test_settings_are_shown_as_they_are_written_and_none_that_is_empty(command: Command, tmp_path: Path) -> None:
    settings = {"guide": "", "preserve": (), "templates": ("{}", "a {}"), "expand_guides": False, "lamb": 0.1}
    edit = Edit({"unet.conv_out.bias": torch.ones(4)}, Provenance("UCE", settings=settings))
    edit.save(tmp_path / "edit.safetensors")
    code, out, _ = command("info", str(tmp_path / "edit.safetensors"))
    assert code == 0
    [line] = [line for line in out.splitlines() if line.startswith("settings")]
    assert sorted(line.removeprefix("settings").strip().split(", ")) == [
        "expand_guides no",
        "lamb 0.1",
        "templates {} + a {}",
    ]
