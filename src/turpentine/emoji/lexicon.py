"""Look up what a text names in the emoji world."""

from __future__ import annotations

import re
from typing import NamedTuple

from turpentine.concepts import Concept, Kind
from turpentine.emoji.world import COLOURS, OBJECTS, PALETTES, SCENES, STYLES, WORKS


class Named(NamedTuple):
    """Something that the emoji world has: its kind and its name there."""

    kind: Kind
    name: str


def look_up(text: str) -> Named | None:
    """Return what a text names, with or without an article, "style", "background" or "by"; None if unknown.

    Example:
        >>> look_up("a Church"), look_up("in ink style"), look_up("dragon")
        (Named(kind='object', name='church'), Named(kind='style', name='ink'), None)
    """
    bare = " ".join(text.lower().split())
    for affix in ("a ", "an ", "the ", "in ", "by "):
        if bare not in _LEXICON:
            bare = bare.removeprefix(affix)
    for affix in (" style", " background"):
        if bare not in _LEXICON:
            bare = bare.removesuffix(affix)
    return _LEXICON.get(bare)


def world_concept(text: str) -> Concept:
    """Return the concept that a text names, of its kind in the emoji world; an object if the world has no such thing.

    Example:
        >>> world_concept("ink style").kind, world_concept("dragon").kind
        ('style', 'object')
    """
    named = look_up(text)
    if named is None:
        return Concept(text)
    if named.kind == "work":
        return Concept(named.name, "work", templates=("{}", f"{{}} by {artist_of(named.name)}"))
    return Concept(named.name, named.kind)


def artist_of(title: str) -> str:
    """Return the artist of a work."""
    return _ARTIST_OF[title]


_ARTIST_OF = {work.title: work.artist for work in WORKS}

_LEXICON: dict[str, Named] = {
    **{name: Named("object", name) for name in OBJECTS},
    **{name: Named("style", name) for name in STYLES},
    **{name: Named("colour", name) for name in COLOURS},
    **{name: Named("artist", name) for name in PALETTES},
    **{name: Named("scene", name) for name in SCENES},
    **{work.title: Named("work", work.title) for work in WORKS},
    **{work.caption: Named("work", work.title) for work in WORKS},
}

NAMES = tuple(_LEXICON)
"""What the world's things are called."""

# What captions are made of beside the names.
_GRAMMAR = "a an the and by in on style background picture small"

_WORDS = frozenset(" ".join([*NAMES, _GRAMMAR]).split())


def unknown_words(text: str) -> list[str]:
    """Return the words of a text that no caption of the world has; punctuation and capitals do not count.

    Example:
        >>> unknown_words("a red Chruch, and a dog.")
        ['chruch']
    """
    return [word for word in re.findall(r"\w+", text.lower()) if word not in _WORDS]
