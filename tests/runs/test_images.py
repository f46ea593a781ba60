"""Pictures on disk are named by their content, and a damaged one is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from turpentine.core.hashing import digest_bytes
from turpentine.runs.images import Images


def picture(shade: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (shade, 0, 255))


def test_equal_pictures_are_one_file_under_its_digest(tmp_path: Path) -> None:
    images = Images(tmp_path)
    names = images.put([picture(1), picture(2), picture(1)])
    assert names[0] == names[2] != names[1]
    files = list(tmp_path.rglob("*.png"))
    assert sorted(files) == sorted({images.path(name) for name in names})
    assert {file.stem: digest_bytes(file.read_bytes()) for file in files} == {file.stem: file.stem for file in files}


def test_a_picture_comes_back_with_its_pixels(tmp_path: Path) -> None:
    (name,) = Images(tmp_path).put([picture(7)])
    image = Images(tmp_path).get(name)
    assert image is not None
    assert np.array_equal(np.asarray(image), np.asarray(picture(7)))


def test_a_missing_and_a_damaged_picture_are_none_and_are_put_anew(tmp_path: Path) -> None:
    images = Images(tmp_path)
    assert images.get("ab" * 32) is None
    (name,) = images.put([picture(3)])
    images.path(name).write_bytes(b"damaged")
    assert images.get(name) is None
    assert images.put([picture(3)]) == [name]
    assert images.get(name) is not None


def test_no_pictures_are_no_files(tmp_path: Path) -> None:
    assert Images(tmp_path).put([]) == []
    assert not list(tmp_path.iterdir())
