from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from PIL import Image

from turpentine.cli.picture_files import PictureFile
from turpentine.judges.base import LABEL, PROBABILITY, Column

Command = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Stub:
    """A judge that tells red from the rest."""

    name, revision, download = "red", "1", None
    settings: ClassVar[Mapping[str, Any]] = {}
    needs: ClassVar[frozenset[str]] = frozenset()
    columns: ClassVar[Mapping[str, Column]] = {"colour": LABEL, "colour_p": PROBABILITY}

    def __call__(self, images: Sequence[Image.Image]) -> pl.DataFrame:
        red = [image.getpixel((0, 0)) == (255, 0, 0) for image in images]
        return pl.DataFrame({"colour": ["red" if each else None for each in red], "colour_p": [0.75] * len(red)})


@dataclass(frozen=True)
class Reader:
    """A judge that says what it was told."""

    name, revision, download = "reader", "1", "a dictionary (3 MB)"
    settings: ClassVar[Mapping[str, Any]] = {}
    needs = frozenset({"prompt", "reference"})
    columns: ClassVar[Mapping[str, Column]] = {"prompt": LABEL, "width": Column(0), "bytes": LABEL}

    def __call__(
        self, images: Sequence[Image.Image], *, prompts: Sequence[str], references: Sequence[Image.Image]
    ) -> pl.DataFrame:
        width = [reference.width for reference in references]
        return pl.DataFrame({"prompt": prompts, "width": width, "bytes": [b"0"] * len(width)})


@pytest.fixture(autouse=True)
def _stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turpentine.judges.emoji_judge.EmojiJudge", Stub)
    monkeypatch.setattr("turpentine.judges.clip.ClipScore", Reader)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, a contact sheet and a text."""
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "a.png")
    Image.new("RGBA", (4, 4), (0, 0, 255, 255)).save(tmp_path / "b.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "contact-sheet.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_is_its_pictures(command: Command, folder: Path) -> None:
    code, out, _ = command("judge", str(folder), "--json")
    assert code == 0
    assert json.loads(out) == [
        {"path": str(folder / "a.png"), "colour": "red", "colour_p": 0.75, "judge": "red"},
        {"path": str(folder / "b.png"), "colour": None, "colour_p": 0.75, "judge": "red"},
    ]


def test_a_person_reads_a_table(command: Command, folder: Path) -> None:
    lines = command("judge", str(folder / "a.png"), str(folder / "b.png"))[1].splitlines()
    assert [line.split() for line in lines] == [
        ["Judged", "by", "red."],
        [],
        ["picture", "colour", "colour_p"],
        ["a.png", "red", "0.750"],
        ["b.png", "-", "0.750"],
    ]


def test_a_bad_picture_in_a_folder_is_a_row_with_its_reason(command: Command, folder: Path) -> None:
    (folder / "c.png").write_bytes(b"no picture")
    (folder / "._a.png").write_bytes(b"what macOS puts beside a picture")
    code, out, _ = command("judge", str(folder), "--json")
    assert code == 1
    why = f"{folder / 'c.png'} is no picture that can be read: give a PNG or JPEG."
    assert [(Path(row["path"]).name, row["colour"], row["colour_p"], row["error"]) for row in json.loads(out)] == [
        ("a.png", "red", 0.75, None),
        ("b.png", None, 0.75, None),
        ("c.png", None, None, why),
    ]
    code, out, _ = command("judge", str(folder))
    assert code == 1 and "is no picture" in out and "red" in out
    for path in folder.glob("[ab].png"):
        path.unlink()
    code, out, err = command("judge", str(folder))
    assert (code, out) == (2, "") and "c.png is no picture" in err


def test_a_picture_without_a_prompt_is_a_row_too(command: Command, folder: Path) -> None:
    PictureFile(folder / "b.png", "a dog", 0, {"prompt": "a dog"}).write(Image.new("RGB", (4, 4)))
    code, out, _ = command("judge", str(folder), "--by", "clip", "--reference", str(folder), "--json")
    assert code == 1
    assert [(row["prompt"], "by --prompt" in (row["error"] or "")) for row in json.loads(out)] == [
        (None, True),
        ("a dog", False),
    ]


def test_what_is_no_picture_is_refused(command: Command, folder: Path) -> None:
    code, out, err = command("judge", str(folder / "a.png"), str(folder / "notes.txt"))
    assert (code, out) == (2, "")
    assert "notes.txt is no picture" in err


def test_another_judge_is_told_what_it_needs(command: Command, folder: Path, tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    Image.new("RGB", (7, 7)).save(before / "a.png")
    PictureFile(folder / "a.png", "a dog", 0, {"prompt": "a dog"}).write(Image.new("RGB", (4, 4)))
    tokens = ["judge", str(folder / "a.png"), "--by", "clip", "--json"]
    code, out, err = command(*tokens, "--reference", str(before))
    assert code == 0
    assert json.loads(out) == [{"path": str(folder / "a.png"), "prompt": "a dog", "width": 7, "judge": "reader"}]
    assert "needs a dictionary (3 MB)" in err
    for given in ("a cat", ""):  # an empty prompt is one
        said = json.loads(command(*tokens, "--reference", str(before), "--prompt", given)[1])
        assert said[0]["prompt"] == given
    code, out, err = command(*tokens)
    assert (code, out) == (2, "") and "--reference" in err


def test_what_a_judge_cannot_know_is_asked_for(command: Command, folder: Path) -> None:
    code, _, err = command("judge", str(folder / "a.png"), "--by", "clip", "--reference", str(folder))
    assert code == 2
    assert "a.png does not say what it was asked for: give it by --prompt" in err
    assert "did you mean 'clip'" in command("judge", str(folder / "a.png"), "--by", "clap")[2]
