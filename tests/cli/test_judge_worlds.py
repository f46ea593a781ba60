"""The command line asks no judge of one world about another's pictures, and says who judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from judges.toys import saved_clip
from PIL import Image

from turpentine.models import Model

OPENAI = "openai/clip-vit-base-patch32"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(saved_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.jpg"
    Image.effect_noise((300, 200), 60).convert("RGB").save(path)
    return str(path)


def test_a_photograph_is_not_judged_by_the_worlds_towers(
    command: Callable[..., tuple[int, str, str]], photo: str, clip: str
) -> None:
    code, out, err = command("judge", photo, "--by", "clip", "--prompt", "a dog")
    assert (code, out) == (2, "") and OPENAI in err
    code, out, err = command("judge", photo)
    assert (code, out) == (2, "") and "photo.jpg of 300 x 200 px is not of that world" in err
    code, out, _ = command("judge", photo, "--by", "clip", "--prompt", "a dog", "--clip-model", clip)
    assert code == 0 and out.startswith(f"Judged by clip (towers: {clip}")
    code, out, _ = command("judge", photo, "--by", clip, "--prompt", "a dog", "--json")
    assert [row["judge"] for row in json.loads(out)] == [f"clip (towers: {clip})"]


def test_a_picture_of_the_world_is_judged_by_its_towers_which_say_so(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    code, out, _ = command("judge", str(tmp_path), "--by", "clip", "--prompt", "a dog")
    assert code == 0 and out.startswith("Judged by clip (towers: emoji).")


def test_a_photograph_in_a_folder_of_the_worlds_pictures_is_a_row_with_its_reason(
    command: Callable[..., tuple[int, str, str]], photo: str
) -> None:
    Image.new("RGB", (32, 32)).save(Path(photo).parent / "small.png")
    code, out, _ = command("judge", str(Path(photo).parent), "--json")
    assert code == 1
    rows = {Path(row["path"]).name: row for row in json.loads(out)}
    assert "is not of that world" in rows["photo.jpg"]["error"] and rows["photo.jpg"]["object"] is None
    assert rows["small.png"]["error"] is None and {row["judge"] for row in rows.values()} == {"emoji"}


def test_an_instrument_is_not_given_the_judge_of_another_world(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, sd1: Model
) -> None:
    sd1.pipeline.save_pretrained(tmp_path / "model")
    tokens = ("explain", "trace", "a church", "--concept", "church", "--model", str(tmp_path / "model"))
    code, out, err = command(*tokens, "--by", "emoji", "--out", str(tmp_path / "out"))
    assert (code, out) == (2, "") and "The judge emoji knows the emoji world alone" in err
