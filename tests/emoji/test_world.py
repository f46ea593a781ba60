"""The world's facts, and that its pictures are what they say."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pyarrow.parquet as pq
import pytest

from turpentine.emoji.world import (
    COLOURS,
    NEIGHBOURS,
    OBJECTS,
    SCENES,
    STYLES,
    TEN,
    WORKS,
    Picture,
    Placed,
    held_out_pairs,
    render,
    sprites,
    styles_of,
    visible_on,
)


def sprite_rows() -> list[dict]:
    with resources.files("turpentine.emoji").joinpath("data/sprites.parquet").open("rb") as file:
        return pq.read_table(file).to_pylist()


def test_the_world_is_as_large_as_promised() -> None:
    assert len(OBJECTS) >= 40 and len(set(OBJECTS)) == len(OBJECTS)
    assert len(TEN) == 10 and set(TEN) <= set(OBJECTS)
    assert len(STYLES) == 8 and len(COLOURS) == 10
    assert {o for o, _ in sprites()} == set(OBJECTS) and {s for _, s in sprites()} == set(STYLES)


def test_every_sprite_says_where_it_is_from_under_a_permissive_licence() -> None:
    attribution = resources.files("turpentine.emoji").joinpath("data/ATTRIBUTION.md").read_text()
    for row in sprite_rows():
        assert row["licence"] in {"Apache-2.0", "MIT", "CC-BY-4.0"}
        assert f"`{row['package']}` {row['version']}" in attribution


def test_every_object_is_drawn_in_most_styles() -> None:
    for obj in OBJECTS:
        assert len(styles_of(obj, held_out=True)) >= 5
        assert len(styles_of(obj)) >= 4


def test_held_out_pairs_exist_and_no_work_shows_one() -> None:
    assert held_out_pairs() <= set(sprites())
    assert len({style for _, style in held_out_pairs()}) == len(STYLES)
    shown = {(p.object, p.style) for work in WORKS for p in work.picture.placed}
    assert not shown & held_out_pairs()


def test_neighbours_and_scenes_are_of_this_world() -> None:
    assert set(NEIGHBOURS) == set(TEN)
    assert all(near in OBJECTS and near != obj for obj, pair in NEIGHBOURS.items() for near in pair)
    assert set(SCENES.values()) <= set(OBJECTS) and set(TEN) <= set(SCENES.values())


def test_no_scene_names_what_it_shows() -> None:
    for scene, obj in SCENES.items():
        assert not set(scene.split()) & set(obj.split())


@pytest.mark.parametrize("size", [32, 64])
def test_a_render_is_background_where_there_is_no_sprite(size: int) -> None:
    picture = Picture("orange", (Placed("church", "flat", 2, 2, 16),))
    pixels = render(picture, size)
    assert pixels.shape == (size, size, 3) and pixels.dtype == np.uint8
    assert (pixels[size * 5 // 8 :] == COLOURS["orange"]).all()
    assert (pixels[: size // 2] != COLOURS["orange"]).any()
    assert (render(picture, size) == pixels).all()


@pytest.mark.parametrize("work", WORKS, ids=lambda w: w.title)
def test_a_work_is_drawn_in_its_artists_two_colours(work) -> None:
    pixels = render(work.picture).reshape(-1, 3).astype(float)
    centred = pixels - pixels.mean(0)
    spread = np.linalg.svd(centred, compute_uv=False)
    assert spread[1] < 0.02 * spread[0], "all colours lie on the line between dark and light"


def test_works_differ_from_one_another() -> None:
    drawn = [render(work.picture).astype(float) / 255 for work in WORKS]
    distances = [np.abs(a - b).mean() for i, a in enumerate(drawn) for b in drawn[:i]]
    assert min(distances) > 0.05


def test_ink_is_not_to_be_seen_on_black_and_all_is_seen_on_something() -> None:
    assert "black" not in visible_on("church", "ink") and "white" in visible_on("church", "ink")
    assert all(len(visible_on(obj, style)) >= 5 for obj, style in sprites())
