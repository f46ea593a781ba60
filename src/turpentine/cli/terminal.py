"""Printing: results to stdout, all else to stderr, and no control characters from outside."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
import warnings
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from turpentine.core.safe_text import one_line, typed
from turpentine.core.telemetry import switch_off

# How the streams write what their encoding lacks.
_TYPED = "turpentine-typed"

# Lines in a file or a pipe are not folded to a screen that is not there.
_WIDTH_OF_A_PIPE = 200

# What somebody may copy out of a sentence: a command with more than its name.
_COMMAND = re.compile(r"turpentine [a-z]+ [-\w\"'./]|python -m |pip install ")

# Characters of a text on a line, below which nobody reads it.
_LEAST = 14


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


def say_prose(text: str, *, indent: int = 0) -> None:
    """Print sentences: in a terminal folded between words, elsewhere a paragraph a line.

    Args:
        text: The sentences.
        indent: Spaces before each line.
    """
    _print_sentences(out(), text, indent=indent)


def say_json(value: Any) -> None:
    """Print one JSON document; everything but ASCII is escaped."""
    print(json.dumps(value, indent=2))


def warn(text: str) -> None:
    """Print a warning on stderr."""
    _print_sentences(err(), f"Warning: {plain(text)}", style="yellow")


def complain(text: str, *, as_json: bool = False) -> None:
    """Print an error on stderr; in a line of JSON where results were to come as such."""
    if as_json:
        print(json.dumps({"error": text}), file=sys.stderr)
        return
    _print_sentences(err(), text, style="red")


def _print_sentences(console: Console, text: str, *, style: str | None = None, indent: int = 0) -> None:
    """Print sentences, in a terminal folded between words, but for those with a command, which is to be copied.

    A word longer than the line, such as a path, stays whole: the terminal itself folds it, and copies it as one.
    """
    margin = " " * indent
    for paragraph in text.split("\n"):
        if not console.is_terminal or _COMMAND.search(paragraph):
            console.print(margin + paragraph, style=style, soft_wrap=True)
            continue
        for line in _folded(paragraph, console.width - indent):
            console.print(f"{margin}{line}".rstrip(), style=style, soft_wrap=True)


def _folded(text: str, width: int) -> list[str]:
    """Return the lines of a text that is folded between words."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    strong: Collection[int] = (),
    whole_words: bool = False,
) -> None:
    """Print a table of results, with numbers to the right; cells from outside are made plain.

    Where the screen is too narrow, texts are folded; where nothing readable would be left of them, every row is printed
    as lines of its own, a cell a line.

    Args:
        columns: Headings; the table has none where all are empty.
        rows: As many cells each.
        strong: Indices of rows that stand out.
        whole_words: Count a text with a broken word, such as a name to be copied, as nothing readable.
    """
    console = out()
    cells = [[_cell(cell) for cell in row] for row in rows]
    numeric = [bool(cells) and all(_is_number(row[index]) for row in cells) for index in range(len(columns))]
    widths = _widths(columns, cells, numeric, console.width, whole_words=whole_words)
    if widths is None:
        _show_records(console, columns, cells, strong)
        return
    table = Table(box=None, pad_edge=False, show_header=any(columns))
    for name, width, is_number in zip(columns, widths, numeric, strict=True):
        justify: Literal["left", "right"] = "right" if is_number else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=is_number, width=width)
    for index, row in enumerate(cells):
        table.add_row(*row, style="bold" if index in strong else None)
    console.print(table)


def _widths(
    columns: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool], width: int, *, whole_words: bool
) -> list[int] | None:
    """Return how wide each column is on a screen; None if texts would be folded to less than can be read."""
    texts = [[name, *(row[index] for row in cells)] for index, name in enumerate(columns)]
    natural = [max(map(cell_len, column)) for column in texts]
    widths, left = list(natural), width - 2 * (len(columns) - 1) - sum(natural)
    least = [each if is_number else min(each, _LEAST) for each, is_number in zip(natural, numeric, strict=True)]
    if whole_words:
        words = [max((cell_len(word) for text in column for word in text.split()), default=0) for column in texts]
        least = list(map(max, least, words))
    if sum(least) + 2 * (len(columns) - 1) > width:
        return None
    while left < 0:  # the widest column has most to give
        index = max(range(len(widths)), key=lambda each: widths[each] - least[each])
        widths[index] -= 1
        left += 1
    return widths


def _show_records(
    console: Console, columns: Sequence[str], cells: Sequence[Sequence[str]], strong: Collection[int]
) -> None:
    """Print rows as lines: the first cell, and under it each other one beside its heading."""
    broad = max(map(cell_len, columns))
    for index, (first, *others) in enumerate(cells):
        console.print(first, style="bold" if index in strong or not strong else None)
        inner = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1))
        inner.add_column(width=broad + 2)
        inner.add_column(overflow="fold")
        for name, cell in zip(columns[1:], others, strict=True):
            if cell:
                inner.add_row(f"  {name}", cell.strip())
        console.print(inner)


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
    """Set up the process: warnings as lines, no usage statistics to the hub, and signs that any encoding can write."""
    codecs.register_error(_TYPED, _write_typed)
    # Python has none for a stream that was closed before it began.
    sys.stdout = sys.stdout or io.StringIO()
    sys.stderr = sys.stderr or io.StringIO()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_TYPED)
    switch_off()
    warnings.showwarning = _show_warning
    # Those of libraries are for developers.
    warnings.simplefilter("ignore")
    warnings.filterwarnings("always", category=UserWarning, module="turpentine")


def _write_typed(error: UnicodeError) -> tuple[str, int]:
    """Return what is written for signs that a stream's encoding lacks; Windows's code pages lack most."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return typed(error.object[error.start : error.end]), error.end


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    warn(str(message))


def close_pipe() -> None:
    """Print no more, since the reader of our output has left; not even when Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
