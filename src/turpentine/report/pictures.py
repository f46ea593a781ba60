"""Pictures inside a page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from PIL import Image

from turpentine.core.figures import dressed
from turpentine.core.imaging import encoded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 256
"""Larger pictures are made smaller, to this many pixels on the longer side, so that a page can be sent by mail."""

DPI, WIDEST = 100, 2000
"""Of plots, and pixels of the widest one."""

SMALL = 64
"""Up to this many pixels a picture is shown enlarged, pixel by pixel."""

DPI = 100
WIDEST = 2000
"""Pixels of the widest sheet or plot on a page."""


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


def enlarged(whole: Image.Image, side: int) -> Image.Image:
    """Return a sheet of small pictures with each of its pixels a square of several.

    Args:
        whole: The sheet.
        side: Pixels of one picture's side.
    """
    times = max(1, SMALL // side)
    return whole.resize((whole.width * times, whole.height * times), Image.Resampling.NEAREST)


def figure_uri(figure: Figure) -> str:
    """Return a plot as a URI that holds it, in the page's type and colours.

    Args:
        figure: Of matplotlib.
    """
    buffer = io.BytesIO()
    dressed(figure).savefig(buffer, format="png", dpi=DPI)
    with Image.open(buffer) as image:
        return data_uri(image.convert("RGB"), WIDEST)


def _encoded(image: Image.Image, form: str, **options: object) -> str:
    return f"data:image/{form.lower()};base64,{base64.b64encode(encoded(image, form, **options)).decode()}"
