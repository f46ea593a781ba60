from __future__ import annotations

import numpy as np
import pytest
from judges.toys import pictures
from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.judges.pixel_change import PixelChange


def test_it_is_the_mean_difference_of_pixels() -> None:
    after, before = pictures(3, seed=1), pictures(3, seed=2)
    found = PixelChange()(after, references=before)["moved"].to_list()
    pairs = zip(after, before, strict=True)
    assert found == pytest.approx([np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() / 255 for a, b in pairs])


def test_a_picture_that_did_not_move_is_at_zero_and_its_opposite_at_one() -> None:
    black, white = (Image.new("RGB", (2, 2), colour) for colour in ("black", "white"))
    assert PixelChange()([black, white], references=[black, black])["moved"].to_list() == [0, 1]


def test_it_needs_a_reference_for_each_picture() -> None:
    with pytest.raises(BadArgument, match="reference"):
        PixelChange()(pictures(2), references=pictures(1))
    assert PixelChange()([]).columns == ["moved"]
