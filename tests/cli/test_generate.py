from __future__ import annotations

import inspect
import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from processes import Started
from safetensors.torch import save_file

import turpentine as tp
from turpentine.cli.generate import Sampling
from turpentine.edits import Edit, Provenance
from turpentine.erase.guidance import NegativePrompt
from turpentine.models import Model

Command = Callable[..., tuple[int, str, str]]
FEW = ("--steps", "2")


def _pixels(path: Path) -> Any:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.fixture
def edit(tiny_folder: str, tmp_path: Path) -> str:
    """The file of an edit that changes the tiny model's pictures."""
    model = tp.load(tiny_folder)
    name = "unet.conv_out.weight"
    path = tmp_path / "edit.safetensors"
    Edit({name: model.parameter(name).detach() * 0.5}, Provenance(base=model.fingerprint)).save(path)
    return str(path)


def test_defaults_are_those_of_the_library() -> None:
    library = inspect.signature(Model.generate).parameters
    for setting in fields(Sampling):
        assert setting.default == library[setting.name].default


def test_pictures_and_a_contact_sheet_are_written_and_their_paths_printed(
    command: Command, tiny_folder: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, printed, _ = command(
        "generate", "a church", "--seeds", "0-1", "--model", tiny_folder, "--out", str(out), *FEW
    )
    assert code == 0
    names = ["a-church-seed0.png", "a-church-seed1.png", "contact-sheet.png"]
    assert printed.splitlines() == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == names
    expected = tp.load(tiny_folder).generate("a church", seeds=[0, 1], steps=2)
    for seed, image in enumerate(expected):
        assert np.abs(_pixels(out / f"a-church-seed{seed}.png") - np.asarray(image)).max() <= 2


def test_a_prompt_cannot_choose_where_its_file_goes(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prompts = ["../../church", "..", "a/church", "a church", "教会"]
    code, printed, _ = command("generate", *prompts, "--model", tiny_folder, "--out", str(out), *FEW, "--json")
    assert code == 0
    told = json.loads(printed)
    paths = [Path(each["path"]) for each in told["pictures"]]
    assert [each["prompt"] for each in told["pictures"]] == prompts
    assert len(set(paths)) == len(prompts)
    assert {path.parent for path in paths} == {out}
    assert all(path.is_file() for path in paths)


def test_what_is_drawn_is_not_drawn_again(
    command: Command, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = ["generate", "a church", "--model", tiny_folder, "--out", str(tmp_path / "out"), *FEW]
    command(*tokens, "--seeds", "0")
    drawn: list[int] = []
    whole = Model.generate

    def counted(self: Model, prompts: Any, **settings: Any) -> Any:
        drawn.extend(settings["seeds"])
        return whole(self, prompts, **settings)

    monkeypatch.setattr(Model, "generate", counted)
    command(*tokens, "--seeds", "0-2")
    assert drawn == [1, 2]
    _, _, err = command(*tokens, "--seeds", "0-2", "--guidance-scale", "2")
    assert drawn == [1, 2, 0, 1, 2]
    assert "a-church-seed0.png was made with another guidance_scale and stays" in err and "so are 2 others" in err
    assert len(list((tmp_path / "out").glob("a-church-seed*.png"))) == 6
    command(*tokens, "--seeds", "0-2", "--guidance-scale", "2")
    assert drawn == [1, 2, 0, 1, 2]


def test_a_run_that_is_broken_off_keeps_what_it_drew_and_says_how_to_go_on(
    command: Command, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Model.generate

    def interrupted(self: Model, prompts: Any, **settings: Any) -> Any:
        if 1 in settings["seeds"]:
            raise KeyboardInterrupt
        return whole(self, prompts, **settings)

    monkeypatch.setattr(Model, "generate", interrupted)
    out = tmp_path / "out"
    tokens = ["generate", "a church", "--seeds", "0-1", "--model", tiny_folder, "--out", str(out), *FEW]
    code, _, err = command(*tokens, "--batch-size", "1")
    assert code == 130
    assert err.startswith("Interrupted. The same command goes on from here: turpentine generate 'a church'")
    assert err.count("\n") == 1
    assert [path.name for path in out.iterdir()] == ["a-church-seed0.png"]


def test_prompts_of_any_script_get_names_that_say_what_is_on_the_pictures(
    command: Command, tiny_folder: str, tmp_path: Path
) -> None:
    tokens = ("generate", "教会", "церковь", "🍎", "!", "?", "--model", tiny_folder, "--out", str(tmp_path), *FEW)
    assert command(*tokens)[0] == 0
    names = {path.name for path in tmp_path.glob("*-seed0*.png")}
    assert {"教会-seed0.png", "церковь-seed0.png", "red-apple-seed0.png", "x-seed0.png"} < names and len(names) == 5
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert command(*tokens)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_sigterm_ends_a_run_as_ctrl_c_does_and_the_exit_code_says_which_it_was(
    begin: Callable[..., Started], tiny_folder: str, tmp_path: Path
) -> None:
    started = begin(
        "generate", "a church", "--seeds", "0-9999", "--model", tiny_folder, "--out", "out", "--batch-size", "1", *FEW
    )
    while started.poll() is None and not list(tmp_path.glob("out/*.png")):
        time.sleep(0.02)
    started.send_signal(signal.SIGTERM)
    _, err = started.communicate()
    assert started.poll() == 128 + signal.SIGTERM, err
    assert "Interrupted. The same command goes on from here: turpentine generate" in err and "Traceback" not in err


def test_another_programs_picture_is_not_overwritten(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    mine = tmp_path / "a-church-seed0.png"
    Image.new("RGB", (4, 4)).save(mine)
    before = mine.read_bytes()
    code, _, err = command("generate", "a church", "--model", tiny_folder, "--out", str(tmp_path), *FEW)
    assert code == 2
    assert "a-church-seed0.png" in err
    assert mine.read_bytes() == before


def test_another_programs_contact_sheet_is_not_overwritten(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    mine = tmp_path / "contact-sheet.png"
    Image.new("RGB", (4, 4)).save(mine)
    before = mine.read_bytes()
    code, _, err = command("generate", "a church", "--model", tiny_folder, "--out", str(tmp_path), *FEW)
    assert code == 2 and "contact-sheet.png is another program's file" in err
    assert mine.read_bytes() == before and list(tmp_path.iterdir()) == [mine]


def test_an_edit_and_its_scale_change_the_pictures(
    command: Command, tiny_folder: str, tmp_path: Path, edit: str
) -> None:
    found = {}
    for name, tokens in {"none": [], "zero": ["--edit", f"{edit}:0"], "full": ["--edit", edit]}.items():
        out = tmp_path / name
        assert command("generate", "a church", "--model", tiny_folder, "--out", str(out), *FEW, *tokens)[0] == 0
        found[name] = _pixels(out / "a-church-seed0.png")
    assert (found["none"] == found["zero"]).all()
    assert (found["none"] != found["full"]).any()


def test_a_guidance_is_put_on_like_an_edit(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    change = str(tmp_path / "guidance.json")
    NegativePrompt()(tp.load(tiny_folder), tp.Concept("cat")).save(change)
    found = {}
    asked = {"edit": ["--edit", change], "zero": ["--edit", f"{change}:0"], "flag": ["--negative-prompt", "cat"]}
    for name, tokens in {**asked, "none": []}.items():
        out = tmp_path / name
        assert command("generate", "a church", "--model", tiny_folder, "--out", str(out), *FEW, *tokens)[0] == 0
        found[name] = _pixels(out / "a-church-seed0.png")
    assert (found["edit"] == found["flag"]).all()
    assert (found["zero"] == found["none"]).all()
    assert (found["edit"] != found["none"]).any()
    tokens = ["--model", tiny_folder, "--edit", change, "--negative-prompt", "a dog", "--out", str(tmp_path / "both")]
    code, _, err = command("generate", "a church", *tokens, *FEW)
    assert code == 2
    assert "'a dog' would do nothing" in err


def test_a_lora_a_runs_folder_and_other_programs_edits_are_put_on_too(
    command: Command, tiny_folder: str, tmp_path: Path, edit: str
) -> None:
    run, odd = tmp_path / "run", tmp_path / "guided"
    run.mkdir()
    shutil.copy(edit, run / "edit.safetensors")
    odd.mkdir()
    NegativePrompt()(tp.load(tiny_folder), tp.Concept("cat")).save(odd / "guidance.json")
    assert command("apply", edit, "--model", tiny_folder, "--to", "lora", "--out", str(tmp_path / "lora"))[0] == 0
    weights = tmp_path / "weights.safetensors"
    name = "unet.conv_out.weight"
    save_file({name: (1.5 * tp.load(tiny_folder).parameter(name).detach()).contiguous()}, weights)
    drawn = {}
    changes = {"edit": edit, "run": run, "lora": tmp_path / "lora.safetensors", "none": f"{edit}:0", "guided": odd}
    for number, change in enumerate([*changes.values(), weights]):
        out = tmp_path / str(number)
        tokens = ["generate", "a church", "--model", tiny_folder, "--edit", str(change), "--out", str(out), *FEW]
        code, _, err = command(*tokens)
        assert code == 0, err
        drawn[[*changes, "weights"][number]] = _pixels(out / "a-church-seed0.png")
    assert (drawn["edit"] == drawn["run"]).all()
    assert np.abs(drawn["edit"] - drawn["lora"]).max() <= 2
    assert np.abs(drawn["edit"] - drawn["weights"]).max() <= 2
    for name in ("edit", "guided", "weights"):
        assert (drawn[name] != drawn["none"]).any()


def test_a_folder_that_is_no_edit_says_what_to_type(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    bench, begun = tmp_path / "bench", tmp_path / "begun"
    (bench / "edits").mkdir(parents=True)
    for name in ("a.safetensors", "b.json", "c.part.json"):
        (bench / "edits" / name).write_bytes(b"{}")
    begun.mkdir()
    (begun / "run.json").write_text("{}")
    for folder, named in {bench: f"2 edits of a bench: name one, such as {bench}", begun: "has no edit yet"}.items():
        code, out, err = command("generate", "a church", "--model", tiny_folder, "--edit", str(folder), *FEW)
        assert (code, out) == (2, "") and named in err and err.count("\n") == 1


def test_a_damaged_edit_is_refused_before_anything_is_drawn(
    command: Command, tiny_folder: str, tmp_path: Path, edit: str
) -> None:
    Path(edit).write_bytes(Path(edit).read_bytes()[:-100])
    out = tmp_path / "out"
    code, _, err = command("generate", "a church", "--model", tiny_folder, "--edit", edit, "--out", str(out))
    assert code == 2
    assert edit in err
    assert not out.exists()


def test_an_unknown_word_is_a_warning(command: Command, tiny_folder: str, tmp_path: Path) -> None:
    tokens = ["--model", tiny_folder, "--out", str(tmp_path / "out"), *FEW]
    assert "Warning" not in command("generate", "a church", *tokens)[2]
    code, _, err = command("generate", "a zzyzx", *tokens)
    assert code == 0
    assert "Warning: 'zzyzx' is a word" in err


def test_a_process_prints_only_paths_and_is_quiet_otherwise(process: Command, tiny_folder: str, tmp_path: Path) -> None:
    code, printed, err = process("generate", "a church", "--model", tiny_folder, *FEW)
    assert code == 0
    assert printed.splitlines() == ["pictures/a-church-seed0.png", "pictures/contact-sheet.png"]
    assert [line for line in err.splitlines() if not line.startswith("Drawing: ")] == []
    assert (tmp_path / "pictures" / "a-church-seed0.png").is_file()


def test_a_missing_model_is_one_sentence(command: Command, tmp_path: Path) -> None:
    code, _, err = command("generate", "a church", "--model", str(tmp_path / "nowhere"))
    assert code == 2
    assert "nowhere" in err
    assert err.count("\n") == 1


def test_a_size_that_cannot_be_is_refused_before_it_is_said_where_its_picture_goes(
    command: Command, tiny_folder: str, tmp_path: Path
) -> None:
    tokens = ["generate", "a church", "--model", tiny_folder, "--out", str(tmp_path / "out"), *FEW]
    assert command(*tokens).code == 0
    code, out, err = command(*tokens, "--size", "33")
    assert (code, out) == (2, "") and err.startswith("33 x 33 is not a whole number of latents")
