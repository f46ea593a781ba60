"""Pictures as bytes, and side by side on a page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """The picture as a file of a format that Pillow knows, such as "PNG", with that format's options."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def paste_rows(
    page: Image.Image,
    rows: Sequence[Sequence[Image.Image]],
    corner: tuple[int, int],
    size: tuple[int, int],
    gap: int,
) -> None:
    """Paste rows of pictures onto a page, each brought to one size without blur.

    corner: left and top of the first picture. size: width and height of each on the page. gap: between two; all in
    pixels.
    """
    for j, row in enumerate(rows):
        for i, image in enumerate(row):
            place = (corner[0] + i * (size[0] + gap), corner[1] + j * (size[1] + gap))
            page.paste(image.resize(size, Image.Resampling.NEAREST), place)
