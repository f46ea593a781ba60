"""What every finding is: a table, a plot of it, and sentences about it."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turpentine.core import notebook
from turpentine.core.atomic_files import write_text_whole, write_whole

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure
    from PIL import Image


class TableFinding(ABC):
    """A measured table that shows itself; a subclass documents the columns.

    Attributes:
        table: A row for each thing measured, with the ends of its 95 % interval (`low`, `high`) where it has one.
        title: The plot's title.
    """

    table: pl.DataFrame
    title: str

    @abstractmethod
    def plot(self) -> Figure:
        """Plot the table."""

    @abstractmethod
    def summary(self) -> str:
        """Say in a sentence or two what the numbers come to."""

    def numbers(self) -> Mapping[str, Any]:
        """Return the numbers of the summary by name, as JSON has them."""
        return {}

    def images_to_save(self) -> Mapping[str, Image.Image]:
        """Return pictures that belong in files beside the table, by file name."""
        return {}

    def _repr_html_(self) -> str:
        rows = notebook.folded(f"table, {len(self.table)} rows", notebook.table(self.table.columns, self.table.rows()))
        summary, plot = notebook.paragraph(self.summary()), notebook.plot(self.plot())
        return notebook.box(self.title, summary, plot, rows, note=type(self).__name__)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a parquet file, whole or not at all."""
        with write_whole(path) as aside:
            self.table.write_parquet(aside)

    def save_images(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write the pictures of `images_to_save` to a folder, each whole or not at all, and return their paths."""
        paths = []
        for name, image in self.images_to_save().items():
            paths.append(Path(folder, name))
            with write_whole(paths[-1]) as aside:
                image.save(aside, format="png")
        return paths

    def save_numbers(self, path: str | os.PathLike[str]) -> Path:
        """Write the numbers as JSON, whole or not at all, and return the file's path."""
        return write_text_whole(path, json.dumps(self.numbers(), indent=1, sort_keys=True) + "\n")
