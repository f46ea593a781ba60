from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from turpentine.report.pictures import LARGEST, data_uri, is_small


def random_image(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_small_picture_is_kept_bit_by_bit() -> None:
    image = random_image(32, 32)
    uri = data_uri(image)
    assert uri.startswith("data:image/png;base64,")
    assert decoded(uri).tobytes() == image.tobytes()
    assert is_small(image)


def test_a_large_picture_becomes_a_smaller_one_and_is_itself_unchanged() -> None:
    image = random_image(768, 384)
    uri = data_uri(image)
    assert uri.startswith("data:image/jpeg;base64,")
    assert decoded(uri).size == (LARGEST, LARGEST // 2)
    assert image.size == (768, 384)
    assert not is_small(image)
    assert decoded(data_uri(image, 100)).size == (100, 50)
