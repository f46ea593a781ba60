from __future__ import annotations

from collections import Counter

from turpentine.emoji.prompts import full_captions, spread
from turpentine.emoji.world import OBJECTS, STYLES, TEN, held_out_pairs, styles_of, visible_on


def test_full_captions_name_what_the_world_draws_and_shows() -> None:
    for full in full_captions(OBJECTS):
        assert full.style in styles_of(full.object)
        assert (full.object, full.style) not in held_out_pairs()
        assert full.colour in visible_on(full.object, full.style)
        assert all(word in full.prompt for word in full)


def test_styles_and_colours_take_turns() -> None:
    captions = list(full_captions(OBJECTS))
    assert len(captions) == len(OBJECTS)
    for column in ("style", "colour"):
        counts = Counter(getattr(full, column) for full in captions)
        assert max(counts.values()) <= 2 * min(counts.values())
    assert {full.style for full in full_captions(TEN)} == set(STYLES)


def test_no_caption_comes_twice_for_an_object_that_does() -> None:
    captions = [full.prompt for full in full_captions(TEN * 3)]
    assert len(set(captions)) == len(captions)


def test_what_is_excluded_is_not_named() -> None:
    for full in full_captions(TEN, without={"noto", "blue"}):
        assert full.style != "noto"
        assert full.colour != "blue"


def test_spread_takes_evenly_spaced_items() -> None:
    assert spread("abcdef", 3) == ["a", "c", "e"]
    assert spread("ab", 5) == ["a", "b"]
    assert spread("abc", 0) == []
