from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from turpentine.emoji.captions import stream
from turpentine.emoji.world import WORKS, render
from turpentine.judges import Judge, PictureStatistics
from turpentine.judges.statistics import contrast, roughness


def flat(value: int, size: int = 32) -> Image.Image:
    return Image.new("RGB", (size, size), (value, value, value))


def noise(size: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))


def test_blank_pictures_and_noise_are_broken_and_pictures_of_the_world_are_not() -> None:
    captioned = stream(0)
    drawn = [Image.fromarray(render(next(captioned).picture)) for _ in range(60)]
    works = [Image.fromarray(render(work.picture)) for work in WORKS]
    scores = PictureStatistics()([flat(0), flat(255), noise(), *drawn, *works])
    assert scores["broken"].to_list() == ["blank", "blank", "noise"] + [None] * (len(drawn) + len(works))


def test_almost_blank_is_blank_and_a_faint_drawing_is_not() -> None:
    faint = np.full((32, 32, 3), 128, np.uint8)
    faint[::2] += 2
    drawing = np.full((32, 32, 3), 128, np.uint8)
    drawing[8:24, 8:24] += 30
    assert PictureStatistics()([Image.fromarray(faint), Image.fromarray(drawing)])["broken"].to_list() == [
        "blank",
        None,
    ]


def test_contrast_and_roughness_by_hand() -> None:
    half = np.zeros((4, 4, 3), np.float32)
    half[:, 2:, 1] = 1  # one channel, half of it white
    assert contrast(half) == pytest.approx(0.5)
    assert roughness(half) == 0
    checkers = np.indices((4, 4)).sum(0)[..., None].repeat(3, axis=2).astype(np.float32) % 2
    assert roughness(checkers) == 1
    assert roughness(np.zeros((1, 1, 3), np.float32)) == 0


def test_it_is_a_judge_of_any_size_and_mode_and_of_no_picture() -> None:
    judge = PictureStatistics()
    assert isinstance(judge, Judge)
    assert judge([noise(96), flat(9).convert("L"), flat(9).convert("RGBA")]).height == 3
    assert judge([]).columns == judge([noise()]).columns == ["contrast", "roughness", "broken", "thumbnail"]
    assert judge([]).schema == judge([noise()]).schema
