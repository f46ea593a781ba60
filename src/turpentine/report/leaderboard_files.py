"""A leaderboard as text and as files: CSV for machines, Markdown for readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from turpentine.audit.leaderboard import SCHEMA, Leaderboard
from turpentine.bench.lines import UNEDITED
from turpentine.core.atomic_files import write_text_whole
from turpentine.core.csv_text import csv_text
from turpentine.core.formatting import duration, file_size
from turpentine.core.markdown import escaped, markdown_table

CSV, MARKDOWN = "leaderboard.csv", "leaderboard.md"
HEADINGS = ("method", "erased, %", "kept, %", "attacked, %", "audited", "an edit takes", "and has")
LEGEND = (
    "Erased: asked for by name, and still seen; less is better. Kept: others of its kind; more is better. Attacked: "
    "what the attack that brings most brings back; less is better. Audited: verdicts, one for each concept. In "
    "brackets: 95 % intervals, over concepts and prompts."
)


def board_lines(rows: pl.DataFrame) -> list[tuple[str, ...]]:
    """Return the cells of the table's lines; the model stands before the method where there are several.

    Args:
        rows: Of `Leaderboard.rows`, or of its CSV file.
    """
    several = rows["model"].n_unique() > 1
    return [_cells(row, f"{row['model']}, " if several else "") for row in rows.rows(named=True)]


def board_markdown(rows: pl.DataFrame) -> str:
    """Return the table as Markdown."""
    cells = [[escaped(cell) for cell in line] for line in board_lines(rows)]
    return markdown_table(HEADINGS, cells)


def read_leaderboard_rows(path: Path) -> pl.DataFrame:
    """Return the rows of a leaderboard's CSV file, as `Leaderboard.rows` has them."""
    return pl.read_csv(path, schema=SCHEMA).with_columns(pl.col("method").fill_null(""))


def write_leaderboard(board: Leaderboard, folder: Path) -> list[Path]:
    """Write the table as CSV and as Markdown, each whole or not at all, and return their paths.

    Raises:
        OSError: As the file system does.
    """
    texts = {
        CSV: csv_text(board.rows),
        MARKDOWN: f"# {escaped(board.title)}\n\n{board_markdown(board.rows)}\n\n{LEGEND}\n",
    }
    for name, text in texts.items():
        write_text_whole(folder / name, text)
    return [folder / name for name in texts]


def _cells(row: Mapping[str, Any], before: str) -> tuple[str, ...]:
    attack = f" by {row['attack']}" if row["attack"] else ""
    return (
        f"{before}{row['method'] or UNEDITED}",
        _rate(row, "erased"),
        _rate(row, "kept"),
        f"{_rate(row, 'attacked')}{attack}",
        row["audited"] or "-",
        "-" if row["seconds"] is None else duration(row["seconds"]) if row["seconds"] >= 1 else "under 1 s",
        "-" if row["bytes"] is None else file_size(row["bytes"]),
    )


def _rate(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return "-"
    value, low, high = (f"{100 * row[key]:.0f}" for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value} ({low}–{high})"
