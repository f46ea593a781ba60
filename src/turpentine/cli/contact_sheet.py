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
    step = height + 2 * _LINE + _GAP
    page = Image.new("RGB", (_GAP + columns * (width + _GAP), _GAP + len(lines) * step), _PAPER)
    for index, line in enumerate(lines):
        _draw_line(page, line, _GAP + index * step, (width, height))
    return page


def _wrapped(row: Row) -> list[Row]:
    return [Row(row.title, row.pictures[i : i + _IN_A_ROW]) for i in range(0, len(row.pictures), _IN_A_ROW)]


def _enlarged_size(image: Image.Image) -> tuple[int, int]:
    factor = max(1, round(_TARGET_SIZE / max(image.size)))
    return image.width * factor, image.height * factor


def _draw_line(page: Image.Image, line: Row, top: int, size: tuple[int, int]) -> None:
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    # About seven pixels a character.
    title = textwrap.shorten(one_line(line.title), max(8, page.width // 7 - 2), placeholder=" ...")
    pen.text((_GAP, top), title, _INK, font)
    paste_rows(page, [[image for _, image in line.pictures]], (_GAP, top + _LINE), size, _GAP)
    for column, (caption, _) in enumerate(line.pictures):
        pen.text((_GAP + column * (size[0] + _GAP), top + _LINE + size[1] + 1), caption, _INK, font)
