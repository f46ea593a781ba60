"""Pictures inside a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from turpentine.core.figures import DPI, dressed
from turpentine.core.imaging import encoded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 256
"""Larger pictures are made smaller, to this many pixels on the longer side, so that a page can be sent by mail."""

SMALL = 64
"""Up to this many pixels a picture is shown enlarged, pixel by pixel."""

WIDEST = 2000
"""Pixels of the widest sheet on a page."""

PER_INCH = 92
"""Pixels of a page to an inch of a plot, so that all plots have letters of one size."""


class PagePlot(NamedTuple):
    """A plot, or a sheet of pictures, as a page shows it: the URI that holds it, and its width in pixels."""

    uri: str
    width: int


def data_uri(image: Image.Image, largest: int = LARGEST) -> str:
    """Return a picture as a URI that holds it: small ones bit by bit as PNG, larger ones as JPEG.

    Args:
        image: The picture.
        largest: Pixels on the longer side, to which a larger picture is made smaller.
    """
    picture = image.convert("RGB")
    if max(picture.size) <= SMALL:
        return _encoded(picture, "PNG", optimize=True)
    picture.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    return _encoded(picture, "JPEG", quality=88)


def is_small(image: Image.Image) -> bool:
    """Return whether a picture is shown pixel by pixel."""
    return max(image.size) <= SMALL


def _enlarged(whole: Image.Image, side: int) -> Image.Image:
    """Return a sheet of small pictures with each of its pixels a square of several.

    Args:
        whole: The sheet.
        side: Pixels of one picture's side.
    """
    times = max(1, SMALL // side)
    return whole.resize((whole.width * times, whole.height * times), Image.Resampling.NEAREST)


def plot_of(figure: Figure) -> PagePlot:
    """Return a plot for a page, in the page's type and colours.

    Args:
        figure: Of matplotlib.
    """
    buffer = io.BytesIO()
    dressed(figure).savefig(buffer, format="png", dpi=DPI)
    return _plot(buffer.getvalue())


def plot_in(path: Path) -> PagePlot:
    """Return the plot in a PNG file for a page."""
    return _plot(path.read_bytes())


def sheet_of(sheet: Image.Image, side: int) -> PagePlot:
    """Return a sheet of pictures for a page, small ones enlarged.

    Args:
        sheet: The sheet.
        side: Pixels of one picture's side.
    """
    whole = _enlarged(sheet, side)
    return PagePlot(data_uri(whole, WIDEST), min(whole.width, WIDEST))


def _plot(content: bytes) -> PagePlot:
    with Image.open(io.BytesIO(content)) as image:
        return PagePlot(_held(content, "PNG"), round(image.width * PER_INCH / DPI))


def _encoded(image: Image.Image, form: str, **options: object) -> str:
    return _held(encoded(image, form, **options), form)


def _held(content: bytes, form: str) -> str:
    return f"data:image/{form.lower()};base64,{base64.b64encode(content).decode()}"
