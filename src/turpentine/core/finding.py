"""What every finding is: a table, a plot of it, and sentences about it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from turpentine.core import notebook
from turpentine.core.atomic_files import write_whole

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
