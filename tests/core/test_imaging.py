from __future__ import annotations

import io

import numpy as np
from PIL import Image

from turpentine.core.imaging import encoded, paste_rows


def test_a_png_is_the_same_picture_again() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(pixels), "PNG")
    assert content.startswith(b"\x89PNG")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels)


def test_rows_stand_where_they_are_put_and_nothing_else_changes() -> None:
    colours = [[(200, 0, 0), (0, 200, 0)], [(0, 0, 200)]]
    page = Image.new("RGB", (40, 40), "white")
    rows = [[Image.new("RGB", (2, 3), colour) for colour in row] for row in colours]
    paste_rows(page, rows, corner=(5, 7), size=(4, 6), gap=3)
    expected = np.full((40, 40, 3), 255, dtype=np.uint8)
    for j, row in enumerate(colours):
        for i, colour in enumerate(row):
            for y in range(6):
                for x in range(4):
                    expected[7 + j * 9 + y, 5 + i * 7 + x] = colour
    assert np.array_equal(np.asarray(page), expected)


def test_pictures_are_enlarged_pixel_by_pixel() -> None:
    page = Image.new("RGB", (4, 4))
    paste_rows(page, [[Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]] * 2, dtype=np.uint8))]], (0, 0), (4, 4), 0)
    assert {page.getpixel((x, y)) for x in (0, 1) for y in range(4)} == {(255, 0, 0)}
    assert {page.getpixel((x, y)) for x in (2, 3) for y in range(4)} == {(0, 0, 255)}
