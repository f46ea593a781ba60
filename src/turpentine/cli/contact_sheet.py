"""A contact sheet: pictures in rows on one page, small ones enlarged."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from turpentine.core.imaging import paste_rows
from turpentine.core.safe_text import one_line

SHEET = "contact-sheet.png"
"""The name of its file."""

_TARGET_SIZE = 128  # pixels: a smaller picture is enlarged to about this
_IN_A_ROW = 8
_LEAST = 400  # pixels across, so that a title over one picture has room
_GAP = 8
_LINE = 16
_INK, _PAPER = (40, 40, 40), (255, 255, 255)


@dataclass(frozen=True)
class Row:
    """Pictures under a title.

    Attributes:
        title: Of the row.
        pictures: Each with its caption.
    """

    title: str
    pictures: Sequence[tuple[str, Image.Image]]


def contact_sheet(rows: Sequence[Row]) -> Image.Image:
    """Draw one page of pictures; a row of more than eight goes on in the next.

    Args:
        rows: Pictures of one size.
    """
    lines = [line for row in rows for line in _wrapped(row)]
    width, height = _enlarged_size(lines[0].pictures[0][1])
    columns = max(len(line.pictures) for line in lines)
    across = max(_LEAST, _GAP + columns * (width + _GAP))
    titles = [_title_lines(line.title, across) for line in lines]
    steps = [height + (1 + len(title)) * _LINE + _GAP for title in titles]
    page = Image.new("RGB", (across, _GAP + sum(steps)), _PAPER)
    top = _GAP
    for line, title, step in zip(lines, titles, steps, strict=True):
        _draw_line(page, line, title, top, (width, height))
        top += step
    return page


def _title_lines(title: str, across: int) -> list[str]:
    """Return a title in as many lines as it takes: a prompt is shown whole."""
    # About seven pixels a character.
    return textwrap.wrap(one_line(title), max(8, across // 7 - 2)) or [""]


def _wrapped(row: Row) -> list[Row]:
    return [Row(row.title, row.pictures[i : i + _IN_A_ROW]) for i in range(0, len(row.pictures), _IN_A_ROW)]


def _enlarged_size(image: Image.Image) -> tuple[int, int]:
    factor = max(1, round(_TARGET_SIZE / max(image.size)))
    return image.width * factor, image.height * factor


def _draw_line(page: Image.Image, line: Row, title: Sequence[str], top: int, size: tuple[int, int]) -> None:
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for number, text in enumerate(title):
        pen.text((_GAP, top + number * _LINE), text, _INK, font)
    top += len(title) * _LINE
    paste_rows(page, [[image for _, image in line.pictures]], (_GAP, top), size, _GAP)
    for column, (caption, _) in enumerate(line.pictures):
        pen.text((_GAP + column * (size[0] + _GAP), top + size[1] + 1), caption, _INK, font)
