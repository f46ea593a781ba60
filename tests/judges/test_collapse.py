from __future__ import annotations

import itertools

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges.toys import pictures
from PIL import Image

from turpentine.judges import PictureStatistics
from turpentine.judges.collapse import SIDE, collapse, spread, thumbnail


@given(st.lists(st.binary(min_size=6, max_size=6), min_size=2, max_size=7))
def test_the_spread_is_the_mean_over_all_pairs_and_values(thumbnails: list[bytes]) -> None:
    apart = [abs(x - y) / 255 for a, b in itertools.combinations(thumbnails, 2) for x, y in zip(a, b, strict=True)]
    assert spread(thumbnails) == pytest.approx(sum(apart) / len(apart), abs=1e-12)


def test_a_single_picture_has_no_spread() -> None:
    assert spread([b"abc"]) is None
    assert spread([]) is None


def test_a_thumbnail_is_the_mean_colour_of_each_part() -> None:
    image = Image.new("RGB", (SIDE * 4, SIDE * 4), (10, 20, 30))
    image.paste((100, 0, 200), (4, 0, 8, 4))
    small = thumbnail(image)
    assert len(small) == SIDE * SIDE * 3
    assert (tuple(small[:3]), tuple(small[3:6]), tuple(small[-3:])) == ((10, 20, 30), (100, 0, 200), (10, 20, 30))


def rows(**shown: list[Image.Image]) -> pl.DataFrame:
    """What the statistics say of pictures by prompt, seeds from 0."""
    parts = [
        PictureStatistics()(images).with_columns(pl.lit(prompt).alias("prompt"), pl.Series("seed", range(len(images))))
        for prompt, images in shown.items()
    ]
    return pl.concat(parts)


def nearly_alike(count: int) -> list[Image.Image]:
    one = pictures(1)[0]
    return [Image.blend(one, other, 0.02) for other in pictures(count, seed=5)]


def test_a_prompt_that_gives_one_picture_for_every_seed_has_collapsed() -> None:
    seen = collapse(rows(dog=nearly_alike(4), cat=pictures(4), fish=pictures(1)))
    assert seen["prompt"].to_list() == ["dog", "cat", "fish"]
    assert seen["pictures"].to_list() == [4, 4, 1]
    assert seen["collapsed"].to_list() == [True, False, None]
    assert seen["spread_before"].is_null().all()


def test_a_prompt_that_had_no_variety_before_has_not_lost_it() -> None:
    before = rows(dog=pictures(4), work=nearly_alike(4), cat=pictures(4))
    after = rows(dog=nearly_alike(4), work=nearly_alike(4), cat=pictures(4), new=nearly_alike(2))
    assert collapse(after, before)["collapsed"].to_list() == [True, False, False, None]


def test_a_picture_in_several_rows_counts_once() -> None:
    seen = rows(dog=pictures(3))
    assert collapse(pl.concat([seen, seen])).equals(collapse(seen))
    assert collapse(seen.clear()).schema == collapse(seen).schema
