from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from turpentine.core.errors import BadArgument
from turpentine.core.imaging import as_seen, encoded, paste_rows, read_picture
from turpentine.judges import judge

SCENE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8))


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_photograph_is_turned_as_its_exif_orientation_says(turn: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[turn]
    stored = SCENE if undo is None else SCENE.transpose(undo)
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "a.png"), SCENE)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_sixteen_bits_are_not_white(mode: str, tmp_path: Path) -> None:
    grey = np.array([[0, 1, 100, 254, 255]], dtype=np.uint16)
    kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    image = Image.frombytes(mode, (5, 1), (grey * 257).astype(kind).tobytes())
    assert np.array_equal(as_seen(image), np.repeat(grey[..., None], 3, axis=2))
    if mode == "I;16":
        for name in ("a.png", "a.tif"):
            image.save(tmp_path / name)
            assert np.array_equal(read_picture(tmp_path / name), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("form", ["RGBA", "LA", "P", "RGB with a colour", "L with a grey", "half"])
def test_what_is_transparent_is_white(form: str, tmp_path: Path) -> None:
    black, path = Image.new("RGBA", (2, 1), (0, 0, 0, 255)), tmp_path / "a.png"
    black.putpixel((0, 0), (9, 9, 9, 0))
    seen = [(255, 255, 255), (0, 0, 0)]
    if form in ("RGBA", "LA"):
        black.convert(form).save(path)
    elif form == "P":
        black.convert("P").save(path, transparency=black.convert("P").getpixel((0, 0)))
    elif form == "half":
        Image.new("RGBA", (2, 1), (0, 0, 0, 51)).save(path)
        seen = [(204, 204, 204)] * 2
    else:
        image = black.convert(form.split()[0])
        image.save(path, transparency=(9, 9, 9) if image.mode == "RGB" else 9)
    assert [read_picture(path).getpixel((x, 0)) for x in (0, 1)] == seen


def test_colours_are_those_of_the_profile() -> None:
    lab = Image.new("LAB", (1, 1), (128, 128 + 60, 128))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    lab.info["icc_profile"] = profile
    red, green, _ = as_seen(lab).getpixel((0, 0))
    assert red > green + 60  # a* is how red it is
    SCENE.info["icc_profile"] = b"no profile"
    assert as_seen(SCENE) is SCENE


def test_a_judge_of_pictures_in_memory_sees_them_so_too() -> None:
    cut_out = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    white = Image.new("RGB", (64, 64), "white")
    statistics = judge("picture statistics")
    assert statistics([cut_out]).equals(statistics([white]))


@pytest.mark.parametrize("content", [None, b"", b"no picture", "fractions"])
def test_what_is_no_picture_is_one_sentence_with_its_name(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if content == "fractions":
        path = tmp_path / "a.tif"
        Image.new("F", (2, 2), 0.5).save(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(BadArgument, match=rf"^{re.escape(str(path))}[^\n]+$"):
        read_picture(path)


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
