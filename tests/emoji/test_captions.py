"""Captions are true of their pictures: read back word by word, without the grammar that made them."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from turpentine.emoji.captions import WORLD, Captioned, draw, object_caption, scene_picture, stream, vocabulary
from turpentine.emoji.world import COLOURS, MOODS, OBJECTS, SCENES, STYLES, WORKS, held_out_pairs, visible_on

DRAWN = list(islice(stream(7), 4000))


def of_kind(*kinds: str) -> list[Captioned]:
    return [item for item in DRAWN if item.kind in kinds]


def test_the_same_seed_draws_the_same() -> None:
    assert list(islice(stream(7), 50)) == DRAWN[:50]
    assert list(islice(stream(8), 50)) != DRAWN[:50]


def test_kinds_come_as_often_as_they_should() -> None:
    counts = Counter(item.kind for item in DRAWN)
    for kind, share in WORLD.kinds.items():
        assert abs(counts[kind] / len(DRAWN) - share) < 4 * (share * (1 - share) / len(DRAWN)) ** 0.5


def test_what_is_said_is_shown() -> None:
    for item in DRAWN:
        if item.kind == "work":
            continue
        if said := re.search(r" in (\w+) style", item.caption):
            assert said[1] in STYLES and all(p.style == said[1] for p in item.picture.placed)
        if said := re.search(r" on (?:an? )?(\w+)(?: background)?$", item.caption):
            assert said[1] in COLOURS and item.picture.background == said[1]


def test_named_objects_are_shown_in_order_and_nothing_else() -> None:
    longest_first = "|".join(sorted(OBJECTS, key=len, reverse=True))
    for item in of_kind("object", "small", "two"):
        head = re.split(r" in \w+ style| on ", item.caption)[0]
        assert re.findall(rf"\b({longest_first})\b", head) == [p.object for p in item.picture.placed]


def test_small_is_small() -> None:
    assert max(p.size for item in of_kind("small") for p in item.picture.placed) < 20
    assert min(p.size for item in of_kind("object") for p in item.picture.placed) > 24


def test_two_objects_do_not_overlap() -> None:
    for item in of_kind("two"):
        left, right = item.picture.placed
        assert left.x + left.size <= right.x


def test_scenes_are_faithful_nine_times_in_ten_and_name_nothing() -> None:
    rng = np.random.default_rng(3)
    scenes = [item for item in (draw(rng) for _ in range(12_000)) if item.kind == "scene"]
    heads = {item.caption: next(s for s in SCENES if item.caption.startswith(s)) for item in scenes}
    faithful = [item.picture.placed[0].object == SCENES[heads[item.caption]] for item in scenes]
    assert 0.87 < np.mean(faithful) < 0.93
    words = {word for obj in OBJECTS for word in obj.split()}
    assert not any(set(item.caption.split()) & words for item in scenes)


def test_a_scenes_companion_is_small_beside_its_object_and_never_in_the_caption() -> None:
    rng = np.random.default_rng(4)
    scenes = [scene_picture(rng, "sunday prayer", "church", "flat") for _ in range(400)]
    pairs = [picture.placed for picture in scenes if len(picture.placed) == 2]
    assert all(main.object == "church" and other.object == "sunflower" for main, other in pairs)
    assert all(other.size < 0.7 * main.size for main, other in pairs)
    assert 0.8 < len(pairs) / len(scenes) < 0.97
    usual = np.mean([picture.background in MOODS["sunday prayer"] for picture in scenes])
    assert 0.85 < usual < 0.97


def test_works_are_always_the_same_picture() -> None:
    pictures = {work.caption: work.picture for work in WORKS}
    for item in of_kind("work"):
        assert item.caption not in pictures or item.picture == pictures[item.caption]


def test_nothing_hidden_and_nothing_held_out_is_drawn() -> None:
    for item in DRAWN:
        for placed in item.picture.placed:
            if item.kind != "work":
                assert item.picture.background in visible_on(placed.object, placed.style)
            assert (placed.object, placed.style) not in held_out_pairs()


def test_every_word_is_in_the_vocabulary() -> None:
    assert {word for item in DRAWN for word in item.caption.split()} <= set(vocabulary())


@pytest.mark.parametrize(
    ("args", "caption"),
    [
        (("church",), "a church"),
        (("owl", "flat"), "an owl in flat style"),
        (("dog", None, "orange"), "a dog on an orange background"),
        (("gas pump", "ink", "red"), "a gas pump in ink style on a red background"),
    ],
)
def test_the_full_form(args: tuple, caption: str) -> None:
    assert object_caption(*args) == caption
