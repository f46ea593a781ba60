"""Put the tables of finished benches into docs/methods.md, the papers' own means beside them.

    turpentine bench emoji-objects --seeds 0-4
    python benchmarks/tables.py runs/emoji-objects

What is written there about the tables stays. A table that the page has no marks for goes to its end. Of emoji-ratio,
and of a run called emoji-eta, there is a figure too, such as docs/methods-ratio.png.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
from matplotlib.figure import Figure
from pages import DOCS, fill

from turpentine.bench.lines import UNEDITED, Line, Number, TableColumn, columns, lines, pooled
from turpentine.bench.table import SCHEMA, Table
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.stats.intervals import Rate

# CAD (arXiv 2412.02542), Table 1: accuracy of the erased class and of the others in percent, Stable Diffusion 1.4,
# means over the ten classes. The paper does not say which of ESD's parameter sets it takes. RECE's are over the five
# classes of which there is a checkpoint of RECE (church, English springer, garbage truck, golf ball, parachute): in the
# other five its column repeats UCE's. Over these five the unedited model has 89.5 and 76.9.
TABLE_1 = {
    UNEDITED: (78.2, 78.2),
    "esd-x": (0.7, 51.2),
    "esd-u": (0.7, 51.2),
    "uce": (3.3, 78.9),
    "rece": (0.24, 76.2),
    "conceptprune": (13.3, 66.0),
    "cad": (1.8, 71.2),
}
# Table 5: LPIPS to the unedited model's pictures, of the erased artist and of the others, means over five artists.
TABLE_5 = {"esd-x": (0.401, 0.303), "uce": (0.198, 0.0746), "rece": (0.240, 0.0986), "cad": (0.245, 0.112)}
# Table 6: accuracy of the amplified class and of the others, means over five classes.
TABLE_6 = {UNEDITED: (62.4, 79.9), "cad-amplify share=0.001": (81.5, 77.6)}
# Table 8: as Table 1, weights of one kind of module at a time.
TABLE_8 = {
    "cad sites=feed-forward": (1.82, 71.2),
    "cad sites=self-attention": (5.28, 58.0),
    "cad sites=cross-attention": (25.4, 42.3),
    "cad sites=resnet": (19.0, 20.9),
}
PAPERS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "emoji-objects": TABLE_1,
    "emoji-styles": TABLE_5,
    "emoji-amplify": TABLE_6,
    "emoji-modules": TABLE_8,
}


class Curve(NamedTuple):
    """A setting in the lines of a bench, and the figure of what it does."""

    setting: re.Pattern[str]
    label: str
    scale: float
    figure: str


CURVES: Mapping[str, Curve] = {
    "emoji-ratio": Curve(re.compile(r"share=([0-9.]+)"), "weights zeroed of each row, %", 100, "methods-ratio.png"),
    "emoji-eta": Curve(re.compile(r"eta=([0-9.]+)"), "η", 1, "methods-eta.png"),
}
"""CAD's Figure 7, and ESD's strength, by the folders of their benches."""

SEED = r" ?seed=[0-9]+"
"""Of an edit, in the name of a line."""

COLOURS = ("#b2432f", "#1f4e8c", "#7a7a7a")
"""Of lines."""


def read(folder: Path) -> Table:
    """A bench's table, as its CSV has it."""
    rows = pl.read_csv(folder / "table.csv", schema_overrides=dict(SCHEMA))
    return Table(rows.with_columns(pl.col("method", "label").fill_null("")), "", {})


def board(found: Table, paper: Mapping[str, tuple[float, float]], folder: Path | None = None) -> str:
    """A line for each method, of the pictures of all concepts together; and of all edits of a method from a folder."""
    each, shown = lines(found), columns(found)
    head = ["method", *(f"{column.heading}, %" if column.is_rate else column.heading for column in shown)]
    head += ["seconds an edit", "its size", *(["paper: its object, others"] if paper else [])]
    rows = [
        [line.method, *map(told, line.numbers), *made(line, each), *([in_paper(line, paper)] if paper else [])]
        for line in pooled(found)
    ]
    together = over_seeds(folder, shown) if folder else []
    return markdown_table(head, [*rows, *([*line, *["–"] * (len(head) - len(line))] for line in together)])


def over_seeds(folder: Path, shown: Sequence[TableColumn]) -> list[list[str]]:
    """A line for each method of which there are edits from several seeds, all together; intervals cover the edits."""
    path = folder / "results.parquet"
    if not path.exists():
        return []
    rows = pl.read_parquet(path, columns=["method", "concept", "group", "hit"]).filter(pl.col("method") != "")
    rows, lines = rows.with_columns(pl.col("method").str.replace(SEED, "").alias("same")), []
    for (name,), part in rows.group_by("same", maintain_order=True):
        seeds = part["method"].n_unique()
        if seeds > 1:
            groups = [part.filter((pl.col("group") == one.group) & one.is_rate).drop_nulls("hit") for one in shown]
            rates = [Rate.of(each["hit"].to_list(), each.select("concept", "method").rows()) for each in groups]
            lines.append([f"{name}, {seeds} seeds", *(with_span(rate) if rate else "–" for rate in rates)])
    return lines


def plotted(found: Table, curve: Curve) -> Figure:
    """What is erased, and the others, by a setting."""
    settings = {line: curve.setting.search(line.method) for line in pooled(found)}
    points = sorted((float(setting[1]), line) for line, setting in settings.items() if setting)
    at = [value for value, _ in points]
    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axis = figure.subplots()
    for index, (column, colour) in enumerate(zip(columns(found), COLOURS, strict=False)):
        measured = [line.numbers[index] for _, line in points]
        value, low, high = ([100 * getattr(number, end) for number in measured] for end in ("value", "low", "high"))
        axis.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(at, value, marker="o", color=colour, label=column.heading)
    axis.set_xscale("log")
    axis.set_xticks(at, [f"{curve.scale * each:g}" for each in at])
    axis.minorticks_off()
    axis.set(xlabel=curve.label, ylabel="pictures that show it, %", ylim=(-3, 103))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    return figure


def told(found: Number | None) -> str:
    if found is None:
        return "–"
    span = f" ({found.span})" if found.span else ""
    return found.text.removesuffix("\u202f%") + span


def made(line: Line, each: list[Line]) -> list[str]:
    """Seconds and bytes of a method's edits, each the mean over them."""
    edits = [one for one in each if set(one.conditions) <= set(line.conditions) and one.seconds is not None]
    if not edits:
        return ["–", "–"]
    seconds = sum(one.seconds or 0 for one in edits) / len(edits)
    size = sum(one.bytes or 0 for one in edits) / len(edits)
    return [
        f"{seconds:.0f}" if seconds > 10 else f"{seconds:.2g}",
        f"{size / 1e6:.1f} MB" if size > 1e5 else f"{size / 1e3:.1f} kB",
    ]


def in_paper(line: Line, paper: Mapping[str, tuple[float, float]]) -> str:
    return "{:.3g}, {:.3g}".format(*paper[line.method]) if line.method in paper else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="of finished benches, called as the bench is")
    parser.add_argument("--page", type=Path, default=DOCS / "methods.md")
    args = parser.parse_args()

    for folder in args.folders:
        if folder.name in CURVES:
            curve = CURVES[folder.name]
            plotted(read(folder), curve).savefig(args.page.parent / curve.figure, dpi=110)
    boards = {folder.name: board(read(folder), PAPERS.get(folder.name, {}), folder) for folder in args.folders}
    fill(args.page, boards)


if __name__ == "__main__":
    main()
