from __future__ import annotations

from collections import Counter

import pytest

from turpentine.emoji.captions import vocabulary, with_article
from turpentine.emoji.lexicon import Named
from turpentine.emoji.prompts import caption_pairs, full_captions, others, spread
from turpentine.emoji.world import (
    COLOURS,
    OBJECTS,
    PALETTES,
    SCENES,
    STYLES,
    TEN,
    WORKS,
    held_out_pairs,
    styles_of,
    visible_on,
)

NAMED = [
    *(Named("object", name) for name in OBJECTS),
    *(Named("style", name) for name in STYLES),
    *(Named("colour", name) for name in COLOURS),
    *(Named("artist", name) for name in PALETTES),
    *(Named("scene", name) for name in SCENES),
    *(Named("work", work.title) for work in WORKS),
]


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


@pytest.mark.parametrize("named", NAMED, ids=lambda named: named.name)
def test_a_caption_names_the_thing_and_its_rest_does_not(named: Named) -> None:
    pairs = caption_pairs(*named)
    # An artist's works are known by their titles alone, too.
    titles = {work.title for work in WORKS if work.artist == named.name}
    for caption, rest in pairs:
        assert named.name in caption or titles & {caption}
        assert named.name not in rest
        assert set(rest.split()) - {"a", "picture"} <= set(caption.split())
        assert set(f"{caption} {rest}".split()) <= set(vocabulary())
    assert spread(pairs, 24)


def test_an_object_comes_in_every_style_it_has_and_on_every_background_and_never_beside_another() -> None:
    captions = [caption for caption, _ in caption_pairs("object", "church")]
    assert {f"a church in {style} style" for style in styles_of("church")} <= set(captions)
    assert {f"a church on a {colour} background" for colour in ("red", "blue")} <= set(captions)
    assert not any(" and " in caption for caption in captions)
    assert not set(captions) & set(SCENES)
    implied = {caption for caption, _ in caption_pairs("object", "church", implied=True)}
    assert {scene for scene, obj in SCENES.items() if obj == "church"} <= implied
    # A few of them are a fair sample: the name alone is among them, and each sort of look.
    few = spread(captions, 24)
    assert "church" in few and "a church" in few
    assert any(" background" in caption for caption in few) and any(" style" in caption for caption in few)


def test_the_rest_of_the_world_shows_nothing_of_what_is_gone() -> None:
    for named in (Named("object", "church"), Named("style", "ink"), Named("artist", "lumen")):
        kept_captions = others([named])
        assert not [caption for caption in kept_captions if named.name in caption.split()]
        assert not [scene for scene, obj in SCENES.items() if obj == named.name and scene in kept_captions]
        assert len(kept_captions) > 80


def test_the_rest_of_the_world_shows_each_object_on_both_sides_of_others() -> None:
    kept = set(OBJECTS) - {"church"}
    pairs = [caption.split(" and ") for caption in others([Named("object", "church")]) if " and " in caption]
    for side in (0, 1):
        assert Counter(each[side] for each in pairs) == Counter({with_article(obj): 2 for obj in kept})
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
