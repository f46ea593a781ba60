"""What a text names in the emoji world."""

from __future__ import annotations

from typing import NamedTuple

from turpentine.concepts import Concept, Kind
from turpentine.emoji.world import COLOURS, OBJECTS, PALETTES, SCENES, STYLES, WORKS


class Named(NamedTuple):
    """A thing of the emoji world: its kind and its name there."""

    kind: Kind
    name: str


def look_up(text: str) -> Named | None:
    """What a text names, with or without an article, "style", "background" or "by"; None if the world has no such
    thing."""
    bare = " ".join(text.lower().split())
    for affix in ("a ", "an ", "the ", "in ", "by "):
        if bare not in _LEXICON:
            bare = bare.removeprefix(affix)
    for affix in (" style", " background"):
        if bare not in _LEXICON:
            bare = bare.removesuffix(affix)
    return _LEXICON.get(bare)


def world_concept(text: str) -> Concept:
    """The concept that a text names: of the kind that the emoji world knows it as, an object where it knows none."""
    named = look_up(text)
    if named is None:
        return Concept(text)
    if named.kind == "work":
        return Concept(named.name, "work", templates=("{}", f"{{}} by {artist_of(named.name)}"))
    return Concept(named.name, named.kind)


def artist_of(title: str) -> str:
    """Who made a work."""
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
