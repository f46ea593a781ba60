from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from turpentine.emoji.captions import stream
from turpentine.emoji.world import WORKS, render
from turpentine.judges.emoji_works import nearest_works, radius


def test_each_work_is_itself_at_any_size() -> None:
    for size in (32, 64):
        seen = nearest_works([Image.fromarray(render(work.picture, size)) for work in WORKS])
        assert seen["work"].to_list() == [work.title for work in WORKS]
        assert seen["artist"].to_list() == [work.artist for work in WORKS]
    assert nearest_works([Image.fromarray(render(WORKS[0].picture))])["work_distance"].item() == 0


def test_a_work_that_a_model_has_drawn_badly_is_still_the_work() -> None:
    rng = np.random.default_rng(0)
    for work in WORKS:
        blurred = Image.fromarray(render(work.picture)).resize((12, 12)).resize((32, 32))
        noisy = np.clip(np.asarray(blurred) + rng.normal(0, 12, (32, 32, 3)), 0, 255).astype(np.uint8)
        assert nearest_works([Image.fromarray(noisy)])["work"].item() == work.title


def test_other_pictures_are_no_work() -> None:
    captioned = (one for one in stream(0) if one.kind != "work")
    others = [Image.fromarray(render(next(captioned).picture)) for _ in range(200)]
    seen = nearest_works(others)
    assert seen["work"].is_null().mean() > 0.98
    assert seen["artist"].is_null().equals(seen["work"].is_null())


def test_the_radius_is_the_smallest_distance_of_two_works() -> None:
    pictures = [render(work.picture).astype(float) / 255 for work in WORKS]
    distances = [abs(a - b).mean() for a in pictures for b in pictures if a is not b]
    assert radius() == pytest.approx(min(distances), rel=1e-5)


def test_no_picture_gives_the_same_columns() -> None:
    assert nearest_works([]).schema == nearest_works([Image.fromarray(render(WORKS[0].picture))]).schema
