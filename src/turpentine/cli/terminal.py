"""Printing: results to stdout, all else to stderr, and no control characters from outside."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from turpentine.core.safe_text import one_line

# Lines in a file or a pipe are not folded to a screen that is not there.
_WIDTH_OF_A_PIPE = 200


def plain(text: str) -> str:
    """Return text from outside on one line, without control characters."""
    return one_line(text)


def out() -> Console:
    """Return the console for results. Brackets and colons in a text mean nothing to it."""
    return _console(stderr=False)


def err() -> Console:
    """Return the console for progress, warnings and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    is_watched = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if is_watched else _WIDTH_OF_A_PIPE
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def say(text: str = "") -> None:
    """Print a line of results."""
    out().print(text, soft_wrap=True)


def say_json(value: Any) -> None:
    """Print one JSON document; everything but ASCII is escaped."""
    print(json.dumps(value, indent=2))


def warn(text: str) -> None:
    """Print a warning on stderr."""
    err().print(f"Warning: {plain(text)}", style="yellow", soft_wrap=True)


def complain(text: str) -> None:
    """Print an error on stderr."""
    err().print(text, style="red", soft_wrap=True)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, strong: Collection[int] = ()) -> None:
    """Print a table of results, with numbers to the right; cells from outside are made plain.

    Args:
        columns: Headings; the table has none where all are empty.
        rows: As many cells each.
        strong: Indices of rows that stand out.
    """
    cells = [[_cell(cell) for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, show_header=any(columns))
    for index, name in enumerate(columns):
        numeric = bool(cells) and all(_is_number(row[index]) for row in cells)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for index, row in enumerate(cells):
        table.add_row(*row, style="bold" if index in strong else None)
    out().print(table)


def number_cell(value: object) -> str:
    """Return how a table of measurements shows a value: a number to three places, a dash for none.

    Example:
        >>> number_cell(0.12345), number_cell(None), number_cell("dog")
        ('0.123', '-', 'dog')
    """
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _cell(value: object) -> str:
    """Return a cell's text; its indentation stays."""
    text = str(value)
    return " " * (len(text) - len(text.lstrip(" "))) + plain(text)


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or cell in {"", "-"} or (cell[:1] in "+−-" and cell[1:2].isdigit())


def prepare() -> None:
    """Set up the process: warnings as lines, and no usage statistics to the hub when a model is fetched from it."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    warnings.showwarning = _show_warning
    # Those of libraries are for developers.
    warnings.simplefilter("ignore")
    warnings.filterwarnings("always", category=UserWarning, module="turpentine")


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    warn(str(message))


def close_pipe() -> None:
    """Print no more, since the reader of our output has left; not even when Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
