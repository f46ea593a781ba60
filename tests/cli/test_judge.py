from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

Command = Callable[..., tuple[int, str, str]]


class Stub:
    """A judge that tells red from the rest."""

    def __call__(self, images: Sequence[Image.Image]) -> pl.DataFrame:
        red = [image.getpixel((0, 0)) == (255, 0, 0) for image in images]
        return pl.DataFrame({"colour": ["red" if each else None for each in red], "colour_p": [0.75] * len(red)})


@pytest.fixture(autouse=True)
def _stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turpentine.judges.emoji.EmojiJudge", Stub)


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
        {"path": str(folder / "a.png"), "colour": "red", "colour_p": 0.75},
        {"path": str(folder / "b.png"), "colour": None, "colour_p": 0.75},
    ]


def test_a_person_reads_a_table(command: Command, folder: Path) -> None:
    lines = command("judge", str(folder / "a.png"), str(folder / "b.png"))[1].splitlines()
    assert [line.split() for line in lines] == [
        ["picture", "colour", "colour_p"],
        ["a.png", "red", "0.750"],
        ["b.png", "-", "0.750"],
    ]


def test_what_is_no_picture_is_refused(command: Command, folder: Path) -> None:
    code, out, err = command("judge", str(folder / "a.png"), str(folder / "notes.txt"))
    assert (code, out) == (2, "")
    assert "notes.txt is not a picture" in err
