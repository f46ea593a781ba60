"""Encode images as bytes, and paste them side by side on a page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Encode an image as the bytes of a file.

    Args:
        image: The image.
        form: A format that Pillow writes, such as "PNG".
        options: Pillow's options for that format, such as `quality` of "JPEG".

    Example:
        >>> encoded(Image.new("RGB", (8, 8)), "PNG")[:4]
        b'\x89PNG'
    """
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
    """Paste rows of images onto a page, each resized without blur. All lengths are in pixels.

    Args:
        page: The image to paste onto; it is changed.
        rows: Images, row by row.
        corner: Left and top of the first image.
        size: Width and height of each image on the page.
        gap: Space between two images.
    """
    for j, row in enumerate(rows):
        for i, image in enumerate(row):
            place = (corner[0] + i * (size[0] + gap), corner[1] + j * (size[1] + gap))
            page.paste(image.resize(size, Image.Resampling.NEAREST), place)
