"""Captions of the emoji world for measuring, chosen by rule so that every run uses the same prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from turpentine.emoji.captions import object_caption, pair_caption, with_article
from turpentine.emoji.world import COLOURS, OBJECTS, SCENES, STYLES, TEN, WORKS, styles_of, visible_on

Item = TypeVar("Item")


OWN = 4
"""How often a thing's own name comes among its captions."""

BESIDE = (9, 36)
"""In `others`, each object stands left of those that come so many places later in the list."""


class CaptionPair(NamedTuple):
    """A caption that shows a thing, and the caption of what is left of it without that thing."""

    caption: str
    rest: str


class FullCaption(NamedTuple):
    """The object, style and background colour of a full caption."""

    object: str
    style: str
    colour: str

    @property
    def prompt(self) -> str:
        """The caption, such as "a dog in flat style on a blue background"."""
        return object_caption(*self)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return up to `count` items, evenly spaced.

    Example:
        >>> spread("abcdef", 3)
        ['a', 'c', 'e']
    """
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def with_tails(caption: str) -> list[str]:
    """Return the caption as it is, with a style, and with a background colour."""
    return [caption, f"{caption} in {STYLES[0]} style", f"{caption} on {with_article('white')} background"]


def full_captions(objects: Iterable[str], without: Collection[str] = ()) -> Iterator[FullCaption]:
    """Yield a full caption for each object; styles and colours take turns, so that each comes about as often.

    Only combinations that the world renders visibly are used; an object without any is left out.

    Args:
        objects: Objects, one caption each.
        without: Styles and colours that must not be named.
    """
    uses: Counter[str] = Counter()

    def turn(full: FullCaption) -> float:
        return uses[full.style] / len(STYLES) + uses[full.colour] / len(COLOURS) + 100 * uses[full.prompt]

    for obj in objects:
        options = [FullCaption(obj, style, colour) for style in styles_of(obj) for colour in visible_on(obj, style)]
        allowed = [full for full in options if full.style not in without and full.colour not in without]
        if allowed:
            chosen = min(allowed, key=turn)
            uses.update([chosen.style, chosen.colour, chosen.prompt])
            yield chosen


def caption_pairs(kind: str, name: str, *, implied: bool = False) -> list[CaptionPair]:
    """Return captions that show a thing in all its styles and on all backgrounds, evenly mixed.

    No caption names another object beside it: a method that learns from "a church and a dog" takes apart all pairs, of
    whatever objects, which nothing that is asked for alone shows.

    Args:
        kind: Of the thing, such as "object".
        name: Of the thing.
        implied: Also captions that only imply it: scenes of an object.

    Example:
        >>> caption_pairs("object", "church")[0]
        CaptionPair(caption='a church in blob style', rest='a picture in blob style')
    """
    match kind:
        case "object":
            return _mixed(*_object_pairs(name, implied))
        case "style" | "colour":
            return _mixed(*_look_pairs(kind, name))
        case "scene":
            return _mixed([CaptionPair(name, "")], _with_tails(name)[1:])
        case "artist":
            works = [work for work in WORKS if work.artist == name]
            return _mixed(
                [CaptionPair(f"by {name}", "")], [CaptionPair(text, "") for w in works for text in (w.caption, w.title)]
            )
        case _:
            return [CaptionPair(text, "") for work in WORKS if work.title == name for text in (name, work.caption)]


def _object_pairs(name: str, implied: bool) -> Iterator[list[CaptionPair]]:
    yield [CaptionPair(name, ""), CaptionPair(with_article(name), "")] * OWN
    looks = [FullCaption(name, style, colour) for style in styles_of(name) for colour in visible_on(name, style)]
    turns = dict.fromkeys((*styles_of(name), *(full.colour for full in looks)))
    yield [_tailed(name, look) for look in turns]
    yield [
        CaptionPair(full.prompt, f"a picture{full.prompt.removeprefix(with_article(name))}")
        for full in spread(looks, 8)
    ]
    if implied:
        yield [each for scene, obj in SCENES.items() if obj == name for each in _with_tails(scene)]


def _look_pairs(kind: str, name: str) -> Iterator[list[CaptionPair]]:
    words = f"{name} style" if kind == "style" else f"{name} background"
    tail = f"in {words}" if kind == "style" else f"on {with_article(words)}"
    yield [CaptionPair(words, ""), CaptionPair(f"a picture {tail}", "a picture")] * OWN
    objects = [obj for obj in (*TEN, *spread(OBJECTS, 8)) if kind == "colour" or name in styles_of(obj)]
    yield [CaptionPair(f"{with_article(obj)} {tail}", with_article(obj)) for obj in dict.fromkeys(objects)]


def _tailed(name: str, look: str) -> CaptionPair:
    tail = f" in {look} style" if look in STYLES else f" on {with_article(look)} background"
    return CaptionPair(with_article(name) + tail, f"a picture{tail}")


def _with_tails(caption: str) -> list[CaptionPair]:
    return [
        CaptionPair(text, f"a picture{tail}" if tail else "")
        for text in with_tails(caption)
        for tail in [text.removeprefix(caption)]
    ]


def _mixed(*groups: list[CaptionPair]) -> list[CaptionPair]:
    """Return the pairs of all groups, those of each as evenly spread as their number allows."""
    placed = [((n + 0.5) / len(group), g, pair) for g, group in enumerate(groups) for n, pair in enumerate(group)]
    return [pair for _, _, pair in sorted(placed, key=lambda each: each[:2])]


def others(gone: Collection[tuple[str, str]]) -> list[str]:
    """Return captions of the whole world that show none of some things.

    They show each kind of thing alone and in its looks, and two objects in one picture: a method that preserves things
    alone takes apart their pairs, which nothing that is asked for alone shows.

    Args:
        gone: Kinds and names.

    Example:
        >>> [caption for caption in others([("object", "church")]) if caption.startswith("a dog and")]
        ['a dog and a house', 'a dog and a key']
    """
    names = {name for _, name in gone}
    objects = [obj for obj in OBJECTS if obj not in names]
    beside = [(obj, objects[(n + step) % len(objects)]) for step in BESIDE for n, obj in enumerate(objects)]
    beside = [(left, right) for left, right in beside if left != right]
    styled = [(obj, style) for obj in objects[::3] for style in styles_of(obj)[::3] if style not in names]
    tails = [f"in {style} style" for style in STYLES if style not in names]
    tails += [f"on {with_article(colour)} background" for colour in COLOURS if colour not in names]
    works = [work.caption for work in WORKS if not names & {work.title, work.artist}]
    scenes = [scene for scene, obj in SCENES.items() if not names & {scene, obj}]
    return [
        *map(with_article, objects),
        *(pair_caption(*pair) for pair in beside),
        *(object_caption(*pair) for pair in styled),
        "a picture",
        *(f"a picture {tail}" for tail in tails),
        *works,
        *scenes,
    ]
