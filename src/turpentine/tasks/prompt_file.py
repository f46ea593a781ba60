"""Prompts from a CSV file in the field's own format, row by row: I2P, COCO-30k, ImageNette, artists, and what attacks
found: Ring-A-Bell's (`prompt`, elsewhere `sensitive prompt`) and MMA-Diffusion's (`adv_prompt`, beside its target)."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TextIO

from turpentine.core.errors import BadArgument
from turpentine.core.safe_text import one_line
from turpentine.core.suggest import offer

NUMBER, PROMPT, SEED, GUIDANCE = "number", "prompt", "seed", "guidance"
COLUMNS: Mapping[str, tuple[str, ...]] = {
    NUMBER: ("case_number", "image_id", "coco_id"),
    PROMPT: ("adv_prompt", "sensitive prompt", "prompt"),
    SEED: ("evaluation_seed", "sd_seed", "seed"),
    GUIDANCE: ("evaluation_guidance", "sd_guidance_scale", "guidance"),
}
"""What a row says, and the columns that say it in one file or another: of several in a file the first is read."""

LONGEST = 100_000
"""Characters of a line; the field's longest prompts have a thousand."""

_MARKS: Mapping[str, str] = {";": ";", "\t": "tabs", "|": "|"}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

_MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class PromptRow:
    """A prompt to draw, from a row of a file.

    Attributes:
        line: Of the file, from 1, where the row ends.
        number: Its case number, or its place from 0 where the file has none.
        prompt: As it stands in the file.
        seed: To draw it with; None where the file gives none.
        guidance: Guidance scale to draw it with; None where the file gives none.
        labels: The other columns by name, such as class, artist or categories, as text.
    """

    line: int
    number: int
    prompt: str
    seed: int | None = None
    guidance: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def read_prompts(path: Path | str, *, labels: Collection[str] = (), seeds: bool = True) -> Iterator[PromptRow]:
    """Yield the rows of a file, one at a time, so that its length costs no memory.

    A header names the columns; see COLUMNS. Cells are data: nothing in them is run, filled in or cut. A cell that
    begins with "=" or holds HTML is that text, and line ends within quotes stay. Empty lines are skipped, and rows of
    empty cells, which spreadsheets leave. A whole number may be written as 1.0, as pandas does. To know before any work
    that a file is whole, read it to its end once.

    Args:
        path: The file.
        labels: Columns that must be there.
        seeds: Whether each row must give a seed.

    Raises:
        BadArgument: A column is missing or there twice; a row has more or fewer cells than columns; a case number or
            seed is no whole number from 0; a guidance is no finite number; there is a NUL byte, text that is not
            UTF-8, or a line of more than LONGEST characters. The message names the file and the line.
    """
    path = Path(path)
    with _opened(path) as file:
        rows = _rows(path, file)
        _, header = next(rows, (1, []))
        columns = _columns(path, header, labels, seeds)
        for place, (line, cells) in enumerate(rows):
            row = _row(_Place(path, line), place, dict(zip(header, cells, strict=True)), columns)
            if seeds and row.seed is None:
                raise _Place(path, line).wrong(f"{columns[SEED]} is empty: give a whole number from 0")
            yield row


class _Place(NamedTuple):
    """A line of a file."""

    path: Path
    line: int

    def wrong(self, what: str) -> BadArgument:
        """Return the error for this line."""
        stop = "" if what.endswith(("?", ".")) else "."
        return BadArgument(f"{one_line(str(self.path))}, line {self.line}: {what}{stop}")


def _opened(path: Path) -> TextIO:
    try:
        with path.open("rb") as content:
            if content.read(2) in _UTF_16:
                raise _Place(path, 1).wrong("this is UTF-16, as Excel writes it: save the file as UTF-8")
        # Bytes that are no UTF-8 become surrogates, which are then found with their line.
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise BadArgument(f"{one_line(str(path))} cannot be read: {error.strerror}; give a CSV file.") from error


def _rows(path: Path, file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with the lines where they end; the first is the header, and all have as many cells."""
    reader = csv.reader(_lines(path, file), strict=True)
    width = 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _Place(path, reader.line_num).wrong(f"this is no CSV, {error}") from error
        if cells is None:
            return
        if not width:
            _check_commas(_Place(path, reader.line_num), cells)
        width = width or len(cells)
        if cells and len(cells) != width:
            raise _Place(path, reader.line_num).wrong(f"{len(cells)} cells, and the header names {width}")
        if any(cells):
            yield reader.line_num, cells


def _check_commas(place: _Place, header: Sequence[str]) -> None:
    """Refuse a file whose cells are parted by something else, as Excel does in some languages."""
    mark = next((mark for mark in _MARKS if len(header) == 1 and mark in header[0]), None)
    if mark is not None:
        raise place.wrong(f"the cells are parted by {_MARKS[mark]}: save the file with commas between them")


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """Yield the lines with their ends, each checked; no line is read beyond the longest that is allowed."""
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        place = _Place(path, number)
        if len(line) > LONGEST:
            raise place.wrong(f"a line of more than {LONGEST} characters: no prompt is that long, so mend the file")
        if "\0" in line:
            raise place.wrong("a NUL byte: the file is damaged, or is no text")
        if not _is_utf8(line):
            raise place.wrong("bytes that are no UTF-8: save the file as UTF-8")
        yield line


def _is_utf8(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _columns(path: Path, header: Sequence[str], labels: Collection[str], seeds: bool) -> dict[str, str]:
    """Return the file's column for each key of COLUMNS."""
    named = [name for name in header if name]
    for name in named:
        if named.count(name) > 1:
            raise _Place(path, 1).wrong(f"the column {one_line(name)} is there twice")
    for name in labels:
        if name not in named:
            raise _Place(path, 1).wrong(f"there is no column {name!r}: {offer(name, map(one_line, named))}")
    column_of = {what: next((name for name in names if name in named), "") for what, names in COLUMNS.items()}
    for what in (PROMPT, *([SEED] if seeds else [])):
        if not column_of[what]:
            if not named:
                raise _Place(path, 1).wrong("there is no header: name the columns in the first line, such as prompt")
            names_of = PROMPT if what == PROMPT else " or ".join(COLUMNS[what])
            raise _Place(path, 1).wrong(f"there is no column {names_of}: the header names {one_line(', '.join(named))}")
    return column_of


def _row(place: _Place, index: int, cells: Mapping[str, str], columns: Mapping[str, str]) -> PromptRow:
    cell_of = {what: cells[column] if column else "" for what, column in columns.items()}
    used = {"", *columns.values()}
    return PromptRow(
        place.line,
        _whole(place, columns[NUMBER], cell_of[NUMBER]) if cell_of[NUMBER] else index,
        cell_of[PROMPT],
        _whole(place, columns[SEED], cell_of[SEED]) if cell_of[SEED] else None,
        _finite(place, columns[GUIDANCE], cell_of[GUIDANCE]) if cell_of[GUIDANCE] else None,
        {name: cell for name, cell in cells.items() if name not in used},
    )


def _whole(place: _Place, column: str, text: str) -> int:
    digits, _, fraction = text.strip().partition(".")
    digits = digits if not fraction.strip("0") else text
    # int() alone would take "1_000", digits of other scripts, and numbers of any length.
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and int(digits) <= _MAX_SEED):
        raise place.wrong(f"{column} is {_excerpt(text)}: give a whole number from 0 to 2^63 − 1")
    return int(digits)


def _finite(place: _Place, column: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise place.wrong(f"{column} is {_excerpt(text)}: give a number")
    return number


def _excerpt(text: str) -> str:
    """Return a cell on one line, cut to 40 characters."""
    plain = one_line(text)
    return repr(plain if len(plain) <= 40 else f"{plain[:40]}…")
