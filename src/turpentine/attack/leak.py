"""What the file of an edit gives away by itself: where it changed the model, and how, without a picture drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from turpentine.core.errors import BadArgument
from turpentine.core.finding import TableFinding
from turpentine.core.formatting import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from turpentine.edits import Edit
    from turpentine.models import Model

MOST = 0.9
"""The share of all that an edit changed, by which the places that hold most of it are counted."""

# Smaller singular values, in units of the largest, are rounding errors.
_NEGLIGIBLE = 1e-5


@dataclass(frozen=True, eq=False)
class Leak(TableFinding):
    """What an edit's file gives away of where a concept was.

    Args:
        table: A row for each layer that it changes: `site`, `weights`, `zeros` (set to 0), `zero_share`, `norm`
            (Frobenius, of ΔW at strength 1), `rank` (of ΔW as a matrix of rows by all else, the largest in the site;
            null where it changes no matrix), `full_rank` (what it could be), and `relative` (the norm in units of the
            weights' own; null without the model). Without the model, ΔW counts as 0 where the file only says that a
            weight becomes 0.
        title: Of the edit.
        sites_in_all: Sites of the model that it could have changed, 0 without the model.
    """

    table: pl.DataFrame
    title: str
    sites_in_all: int = 0

    @property
    def sizes(self) -> pl.Series:
        """How much it changes at each site: ‖ΔW‖², or the zeros where it only zeroes and the model is not at hand."""
        norms = self.table["norm"]
        return norms.pow(2) if any(norms) else self.table["zeros"].cast(pl.Float64)

    @property
    def sites_of_most(self) -> list[str]:
        """The fewest sites that hold nine tenths of what it changes."""
        order = self.table.with_columns(size=self.sizes).sort("size", descending=True)
        rows, before = order.select("site", "size").rows(), 0.0
        most: list[str] = []
        for site, size in rows:
            if before >= MOST * sum(each for _, each in rows):
                break
            most, before = [*most, site], before + size
        return most

    def plot(self) -> Figure:
        """Plot each site's share of zeros, or the norm of its change."""
        from matplotlib.figure import Figure

        only_zeroes = not self.table["norm"].max()
        column, label = ("zero_share", "share of zeros") if only_zeroes else ("norm", "‖ΔW‖")
        figure = Figure(figsize=(7, 1 + 0.2 * len(self.table)), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(self.table)), self.table[column].to_list())
        axes.set_yticks(range(len(self.table)), self.table["site"].to_list(), fontsize="x-small")
        axes.set(title=self.title, xlabel=label)
        axes.set_ylim(len(self.table) - 0.4, -0.6)
        return figure

    def summary(self) -> str:
        """Say what the file gives away."""
        most, count = self.sites_of_most, len(self.table)
        of = f" of {self.sites_in_all}" if self.sites_in_all else ""
        holds = "holds" if len(most) == 1 else "hold"
        text = (
            f"{self.title}: the file names the {counted(count, 'site')}{of} that it changes; {len(most)} of them "
            f"{holds} {100 * MOST:.0f} % of the change, first {most[0]}."
        )
        zeros, weights = self._total("zeros"), self._total("weights")
        if zeros:
            text += f" {zeros:,} of the {weights:,} weights there ({100 * zeros / weights:.2f} %) become exactly 0."
        thin = self.table.filter(pl.col("rank") * 4 <= pl.col("full_rank"))
        if len(thin):
            low, high = min(thin["rank"].to_list()), max(thin["rank"].to_list())
            ranks = f"rank {low}" if low == high else f"ranks {low} to {high}"
            text += f" In {counted(len(thin), 'site')} the change has {ranks}: its directions can be read from it."
        return text

    def numbers(self) -> Mapping[str, Any]:
        """Return the numbers of the summary."""
        zeros, weights = self._total("zeros"), self._total("weights")
        ranks = self.table["rank"].drop_nulls()
        return {
            "sites": len(self.table),
            "sites_in_all": self.sites_in_all,
            "sites_of_most": self.sites_of_most,
            "zeros": zeros,
            "weights": weights,
            "zero_share": zeros / weights,
            "largest_rank": ranks.max() if len(ranks) else None,
        }

    def _total(self, column: str) -> int:
        return int(self.table[column].to_numpy().sum())


def leak_of(edit: Edit, model: Model | None = None) -> Leak:
    """Return what an edit's file gives away, and what it does beside the base.

    Args:
        edit: The edit; a guidance has no places in it.
        model: The base, whose weights tell what was at the positions that are set to 0; without it the file stands
            alone.

    Raises:
        BadArgument: It is no edit of weights.
        WrongBase: The edit was made for another model.

    Example:
        >>> import torch
        >>> from turpentine.edits import Edit
        >>> edit = Edit({"unet.conv_in.weight": torch.ones(8, 4, 3, 3)})
        >>> leak_of(edit).numbers()["largest_rank"]
        1
    """
    from turpentine.edits import Edit as WeightEdit

    if not isinstance(edit, WeightEdit):
        raise BadArgument(f"{edit!r} changes no weight, so that its file names no place in the model.")
    if model is not None:
        with edit.on(model):  # refuses, as ever, what does not fit
            pass
    inside: dict[str, list[str]] = {}
    for name in edit.names:
        inside.setdefault(name.rpartition(".")[0], []).append(name)
    order = _order(inside, model)
    table = pl.DataFrame([_row(edit, site, inside[site], model) for site in order], schema=_COLUMNS)
    sites = sum(site.level == "layer" for site in model.sites) if model is not None else 0
    return Leak(table, edit.title, sites)


_COLUMNS = {
    "site": pl.String,
    "weights": pl.Int64,
    "zeros": pl.Int64,
    "zero_share": pl.Float64,
    "norm": pl.Float64,
    "rank": pl.Int64,
    "full_rank": pl.Int64,
    "relative": pl.Float64,
}


def _order(sites: Mapping[str, Sequence[str]], model: Model | None) -> list[str]:
    """Return sites in order of execution, or as the edit has them."""
    places = {site.name: place for place, site in enumerate(model.sites)} if model is not None else {}
    return sorted(sites, key=lambda site: places.get(site, -1))


def _row(edit: Edit, site: str, names: Sequence[str], model: Model | None) -> dict[str, Any]:
    deltas = {name: _delta(edit, name, model) for name in names}
    weights = sum(math.prod(edit.shape(name)) for name in names)
    zeros = sum(len(edit.zeroed[name]) for name in names if name in edit.zeroed)
    matrices = [delta.flatten(1) for delta in deltas.values() if delta is not None and delta.ndim > 1]
    norm = math.hypot(*(float(delta.double().norm()) for delta in deltas.values() if delta is not None))
    own = math.hypot(*(float(model.parameter(name).double().norm()) for name in names)) if model is not None else 0.0
    return {
        "site": site,
        "weights": weights,
        "zeros": zeros,
        "zero_share": zeros / weights,
        "norm": norm,
        "rank": max(map(_rank, matrices)) if matrices else None,
        "full_rank": max(min(matrix.shape) for matrix in matrices) if matrices else None,
        "relative": norm / own if own else None,
    }


def _delta(edit: Edit, name: str, model: Model | None) -> Tensor | None:
    """Return ΔW; where only the file is at hand, what it holds of it, None for nothing but zeros."""
    if model is not None:
        return edit.delta(name, model.parameter(name).detach().float()).cpu()
    return edit.deltas.get(name)


def _rank(delta: Tensor) -> int:
    """Return the rank of a matrix, by the eigenvalues of its smaller Gram matrix."""
    import torch

    matrix = delta.double()
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    values = torch.linalg.eigvalsh(gram)
    return int((values > _NEGLIGIBLE**2 * values[-1]).sum()) if values[-1] > 0 else 0
