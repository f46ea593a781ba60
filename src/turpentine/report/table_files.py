"""A table as files: CSV for machines; Markdown and LaTeX for readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from turpentine.bench.table import Table
from turpentine.core.atomic_files import write_text_whole
from turpentine.core.csv_text import csv_text
from turpentine.core.markdown import escaped, markdown_table
from turpentine.core.safe_text import one_line
from turpentine.report.board import board, protocol_line

_IN_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}


def to_csv(table: Table) -> str:
    """Return all rows as CSV; see `csv_text`."""
    return csv_text(table.rows)


def to_markdown(table: Table) -> str:
    """Return the few numbers of the table, under its title, with how they came about."""
    whole = board(table)
    cells = [[escaped(cell) for cell in line] for line in whole.lines]
    for index in whole.strong:
        cells[index] = [f"**{cell}**" for cell in cells[index]]
    body = markdown_table([escaped(heading) for heading in whole.headings], cells)
    return f"# {escaped(table.title)}\n\n{body}\n\n{escaped(protocol_line(table))}\n"


def to_latex(table: Table) -> str:
    """Return the same as a LaTeX table for the package booktabs."""
    whole = board(table)
    head, *lines = [rf"{' & '.join(map(_in_latex, line))} \\" for line in (whole.headings, *whole.lines)]
    for index in whole.strong[:-1]:
        lines[index] += r" \midrule"
    caption = _in_latex(f"{table.title}. {protocol_line(table)}")
    begin = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{'l' * len(whole.headings)}}}"]
    end = [r"\bottomrule", r"\end{tabular}", rf"\caption{{{caption}}}", r"\end{table}", ""]
    return "\n".join([*begin, r"\toprule", head, r"\midrule", *lines, *end])


FILES: Mapping[str, Callable[[Table], str]] = {"table.csv": to_csv, "table.md": to_markdown, "table.tex": to_latex}
"""What a table is written to, and how."""


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write the table in all its forms into a folder, each whole, and return their paths.

    Raises:
        OSError: As the file system does.
    """
    for name, form in FILES.items():
        write_text_whole(folder / name, form(table))
    return [folder / name for name in FILES]


def _in_latex(text: str) -> str:
    return "".join(_IN_LATEX.get(char, char) for char in one_line(text))
