"""What a finding leaves in files: its table, its numbers and its own pictures, each whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from turpentine.core.finding import TableFinding


class Squares(TableFinding):
    """Two numbers and two pictures, the second of which may be none."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.table, self.title = pl.DataFrame({"n": [1, 2], "square": [1, 4]}), "Squares"
        self.is_broken = is_broken

    def plot(self) -> Figure:
        return Figure()

    def summary(self) -> str:
        return "Two squares."

    def numbers(self) -> Mapping[str, Any]:
        return {"mean": 2.5, "all": [1, 4]}

    def images_to_save(self) -> Mapping[str, Image.Image]:
        second: Any = "no picture" if self.is_broken else Image.new("RGB", (2, 2), "blue")
        return {"one.png": Image.new("RGB", (2, 2), "red"), "two.png": second}


def test_its_files_hold_what_it_has(tmp_path: Path) -> None:
    finding, folder = Squares(), tmp_path / "new" / "folder"
    finding.save(folder / "table.parquet")
    assert pl.read_parquet(folder / "table.parquet").equals(finding.table)
    paths = finding.save_images(folder)
    assert paths == [folder / "one.png", folder / "two.png"]
    assert [Image.open(path).getpixel((0, 0)) for path in paths] == [(255, 0, 0), (0, 0, 255)]
    text = finding.save_numbers(folder / "numbers.json").read_text()
    assert json.loads(text) == finding.numbers() and text.index('"all"') < text.index('"mean"')
    assert {path.name for path in folder.iterdir()} == {"table.parquet", "one.png", "two.png", "numbers.json"}


def test_a_picture_that_cannot_be_written_leaves_nothing_of_itself(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        Squares(is_broken=True).save_images(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]
