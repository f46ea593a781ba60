"""What a notebook shows of a value: small tables and pictures as HTML, in the notebook's own colours, light or dark."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from turpentine.core.safe_text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

# Text has the notebook's colour, and lines are grey of half strength: both are seen on white and on black.
_LINE = "1px solid rgba(128,128,128,.35)"
_BOX = f"display:inline-block;max-width:100%;border:{_LINE};border-radius:6px;padding:8px 12px;overflow-x:auto"
_CELL = "text-align:left;padding:2px 14px 2px 0;border:0;background:none;vertical-align:top"
_FAINT = "opacity:.65;font-weight:normal"

_SIDE = 128
"""Pixels that a small picture is enlarged to."""

_MOST_ROWS = 12


def box(title: str, *parts: str, note: str = "") -> str:
    """Return a framed piece of HTML.

    Args:
        title: Its heading, as text.
        parts: What is in it, as HTML.
        note: A few words beside the heading, as text.

    Example:
        >>> "&lt;b&gt;" in box("<b>")
        True
    """
    beside = f' <span style="{_FAINT}">{text(note)}</span>' if note else ""
    return f'<div style="{_BOX}"><div><b>{text(title)}</b>{beside}</div>{"".join(parts)}</div>'


def text(value: object) -> str:
    """Return a value as one line of HTML that holds no mark-up; several have commas between, and so have thousands."""
    if isinstance(value, tuple | list):
        return ", ".join(map(text, value))
    return escape(one_line(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)))


def facts(values: Mapping[str, object]) -> str:
    """Return a table of names and values."""
    return _table((f'<td style="{_CELL};{_FAINT}">{text(name)}</td>{_cell(value)}' for name, value in values.items()))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, most: int = _MOST_ROWS) -> str:
    """Return the first rows of a table, and how many more there are.

    Args:
        columns: Headings.
        rows: As many cells each.
        most: Rows at most.
    """
    head = "".join(f'<th style="{_CELL};{_FAINT}">{text(name)}</th>' for name in columns)
    lines = [head, *("".join(map(_cell, row)) for row in rows[:most])]
    rest = f'<div style="{_FAINT}">... {len(rows) - most:,} more</div>' if len(rows) > most else ""
    return _table(lines) + rest


def folded(title: str, content: str) -> str:
    """Return HTML that opens when its title is clicked."""
    return f'<details><summary style="{_FAINT};cursor:pointer">{text(title)}</summary>{content}</details>'


def paragraph(words: str) -> str:
    """Return a paragraph of text, no wider than is good to read."""
    return f'<div style="max-width:46em;margin:4px 0">{text(words)}</div>'


def pictures(images: Iterable[Image.Image], captions: Iterable[str]) -> str:
    """Return pictures side by side, small ones enlarged, each with a line under it."""
    figures = (
        f'<figure style="margin:4px 8px 4px 0;width:{max(_SIDE, min(image.width, 2 * _SIDE))}px">{_picture(image)}'
        f'<figcaption style="{_FAINT};font-size:85%;line-height:1.25">{text(caption)}</figcaption></figure>'
        for image, caption in zip(images, captions, strict=True)
    )
    return f'<div style="display:flex;flex-wrap:wrap;align-items:flex-start">{"".join(figures)}</div>'


def plot(figure: Figure) -> str:
    """Return a figure as a picture, on the white that its ink is for."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, bbox_inches="tight")
    return f'<img alt="" src="{_source(file)}" style="max-width:100%;border-radius:4px;margin:4px 0">'


def _picture(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, format="png")
    pixels = "image-rendering:pixelated" if max(image.size) < _SIDE else "image-rendering:auto"
    return f'<img alt="" src="{_source(file)}" style="width:100%;display:block;border-radius:3px;{pixels}">'


def _source(file: io.BytesIO) -> str:
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _table(lines: Iterable[str]) -> str:
    rows = "".join(f'<tr style="background:none">{line}</tr>' for line in lines)
    return f'<table style="border-collapse:collapse;border:0;color:inherit;margin:4px 0;font-size:92%">{rows}</table>'


def _cell(value: Any) -> str:
    short = f"{value:.3g}" if isinstance(value, float) else "" if value is None else value
    return f'<td style="{_CELL}">{text(short)}</td>'
