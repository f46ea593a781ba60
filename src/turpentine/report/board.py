"""A bench's table as text: a line for each model, method and concept, a column for each group of cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from turpentine.bench.lines import Line, Number, TableColumn, columns, lines, pooled
from turpentine.bench.table import Table
from turpentine.judges.worlds import title_of
from turpentine.runs.references import reference_text


@dataclass(frozen=True)
class Board:
    """The text of a table.

    A rate is in percent; in brackets is the 95 % interval.

    Attributes:
        headings: Of the columns.
        lines: As many cells each.
        strong: Indices of lines that stand for several concepts.
    """

    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    strong: tuple[int, ...]


def board(table: Table) -> Board:
    """Return the few numbers of a table: those of whole groups of cases.

    The model is left out where all lines have the same, collapsed pictures and errors where no line has any.
    """
    ordered = _in_order(table)
    headings = ("model", "method", "concept", *map(_heading, columns(table)), "broken, %", "collapsed, %", "errors")
    cells = [tuple(_cells(line)) for line in ordered]
    columns_left = [
        index
        for index, name in enumerate(headings)
        if not (name == "model" and len({line.model for line in ordered}) == 1)
        and not (name in ("collapsed, %", "errors") and {line[index] for line in cells} <= {"-", "0"})
    ]
    strong = tuple(index for index, line in enumerate(ordered) if len(line.conditions) > 1)
    return Board(
        tuple(headings[index] for index in columns_left),
        tuple(tuple(line[index] for index in columns_left) for line in cells),
        strong,
    )


def protocol_line(table: Table) -> str:
    """Return how the numbers came about, in three sentences; those of another protocol cannot be compared with them."""
    facts = next(iter(table.protocols.values()))
    drawing = f"{facts['steps']} steps of {facts['solver']}, guidance {facts['guidance_scale']:g}"
    size = f", {facts['size']} px" if facts["size"] else ""
    judges = ", ".join(map(judge_line, facts["judges"]))
    seeds = len(facts["seeds"])
    plural = "" if seeds == 1 else "s"
    against = f"; held against {reference_text(facts['references'])}" if "references" in facts else ""
    return (
        f"Drawn with {drawing}{size}, {seeds} seed{plural}; judged by {judges}{against}. "
        "In brackets: 95 % intervals, over prompts and concepts."
    )


def judge_line(judge: Mapping[str, Any]) -> str:
    """Return a judge's name, the network that it asks, and its revision, from its facts."""
    return f"{title_of(judge['name'], judge['settings'])} ({judge['revision'][:12]})"


def _in_order(table: Table) -> list[Line]:
    """Return the lines of a method together, and after several of them the one that stands for all."""
    each, ordered_lines = lines(table), list[Line]()
    for whole in pooled(table):
        own = [line for line in each if line.conditions[0] in whole.conditions]
        ordered_lines += [*own, *([whole] if len(own) > 1 else [])]
    return ordered_lines


def _heading(column: TableColumn) -> str:
    return f"{column.heading}, %" if column.is_rate else column.heading


def _cells(line: Line) -> Iterator[str]:
    yield from (line.model, line.method, line.concept)
    for number in line.numbers:
        yield _cell(number)
    yield _percent(line.broken)
    yield _percent(line.collapsed)
    yield str(line.errors)


def _cell(number: Number | None) -> str:
    if number is None:
        return "-"
    text = number.text.removesuffix("\u202f%")
    return f"{text} ({number.span})" if number.span else text


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}"
