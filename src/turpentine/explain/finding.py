"""The result of an instrument: a table, a plot of it, sentences about it, and the sites that it points at."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
from PIL import Image

from turpentine.core import notebook
from turpentine.core.atomic_files import write_whole
from turpentine.models.site_table import best_sites
from turpentine.models.sites import Sites

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Finding(ABC):
    """The result of an instrument; each instrument has a subclass, which documents the columns of its table.

    Args:
        table: A row for each thing measured, with the ends of its 95 % interval (`low`, `high`) where it has one.
        everything: All sites of the model that was measured.
        title: The plot's title.
    """

    table: pl.DataFrame
    everything: Sites
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

    def sites(self, top: int = 8) -> Sites:
        """Return the `top` sites with the largest scores, which editing methods take as `sites`.

        Raises:
            BadArgument: The table scores no sites.
        """
        return best_sites(self.everything, self.table, top, f"The table of {self.title!r}")

    def _repr_html_(self) -> str:
        rows = notebook.folded(f"table, {len(self.table)} rows", notebook.table(self.table.columns, self.table.rows()))
        summary, plot = notebook.paragraph(self.summary()), notebook.plot(self.plot())
        return notebook.box(self.title, summary, plot, rows, note=type(self).__name__)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a parquet file, whole or not at all; methods read it by `sites_from` if it has scores."""
        with write_whole(path) as aside:
            self.table.write_parquet(aside)
