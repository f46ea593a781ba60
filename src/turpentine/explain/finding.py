"""The result of an instrument: a table, a plot of it, sentences about it, and the sites that it points at."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from turpentine.core.finding import TableFinding
from turpentine.models.site_table import best_sites
from turpentine.models.sites import Sites


@dataclass(frozen=True, eq=False)
class Finding(TableFinding):
    """The result of an instrument; each instrument has a subclass, which documents the columns of its table.

    Methods read a saved one by `sites_from` if it has scores.

    Args:
        table: A row for each thing measured, with the ends of its 95 % interval (`low`, `high`) where it has one.
        everything: All sites of the model that was measured.
        title: The plot's title.
    """

    table: pl.DataFrame
    everything: Sites
    title: str

    def sites(self, top: int = 8) -> Sites:
        """Return the `top` sites with the largest scores, which editing methods take as `sites`.

        Raises:
            BadArgument: The table scores no sites.
        """
        return best_sites(self.everything, self.table, top, f"The table of {self.title!r}")
