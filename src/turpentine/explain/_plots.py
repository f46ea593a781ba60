"""The style of this package's plots; matplotlib is imported when the first one is drawn."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from turpentine.core.atomic_files import write_whole
from turpentine.core.figures import DPI, dressed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DARK, LIGHT, EDGE, BAND, GREY = "#1f6f54", "#8dbba7", "#22402f", "#cfe2d8", "#9a9689"
"""Colours of lines, bars, the bars' intervals, bands of intervals, and lines of reference."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, which lays itself out."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def open_frame(axis: Axes) -> None:
    """Leave only the left and the lower side of the frame."""
    axis.spines[["top", "right"]].set_visible(False)


def whole_numbers() -> Any:
    """Return a locator that ticks whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(integer=True, min_n_ticks=1)


def draw_bars(axis: Axes, names: Sequence[str], table: pl.DataFrame, value: str = "value") -> None:
    """Draw a horizontal bar for each row, the first at the top, with its interval `low` to `high`."""
    lengths = table[value].to_numpy()
    ends = np.stack([lengths - table["low"].to_numpy(), table["high"].to_numpy() - lengths]).clip(0)
    axis.barh(names, lengths, xerr=ends, color=LIGHT, ecolor=EDGE, capsize=2)
    open_frame(axis)


def hide_axes(axes: Iterable[Axes]) -> None:
    """Draw no frame and no ticks, as pictures need none."""
    for axis in axes:
        axis.set_axis_off()


def save_plot(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure to a PNG file in the pages' type and colours, whole or not at all."""
    with write_whole(path) as aside:
        dressed(figure).savefig(aside, format="png", dpi=DPI)
