"""What an instrument gives: a table, a picture of it, and the places that it points at."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass

import polars as pl
from matplotlib.figure import Figure

from turpentine.core.atomic_files import write_whole
from turpentine.models.site_table import best_sites
from turpentine.models.sites import Sites


@dataclass(frozen=True, eq=False)
class Finding(ABC):
    """What was found.

    table: a row for each thing measured, with the ends of its 95 % interval where it has one; the instrument says what
    its columns are. everything: the sites of the model that it was found in. title: of the picture.
    """

    table: pl.DataFrame
    everything: Sites
    title: str

    @abstractmethod
    def plot(self) -> Figure:
        """The picture."""

    def sites(self, top: int = 8) -> Sites:
        """The sites with the largest scores, for the editing methods' `sites`.

        Raises BadArgument where the table scores no sites.
        """
        return best_sites(self.everything, self.table, top, f"The table of {self.title!r}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table as parquet, whole or not at all; methods take it as `sites_from` where it has a score."""
        with write_whole(path) as aside:
            self.table.write_parquet(aside)
