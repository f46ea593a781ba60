"""Look up what a text names in the emoji world."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from turpentine.concepts import Concept, Kind, with_article
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

    Things that are named together get the world's own caption: "a church in the style of noto" is not one.

    Example:
        >>> world_concept("ink style").kind, world_concept("dragon").kind
        ('style', 'object')
    """
    named = look_up(text)
    if named is None:
        parts = parts_of(text)
        return Concept(caption_of(parts) if parts else text)
    if named.kind == "work":
        return Concept(named.name, "work", templates=("{}", f"{{}} by {artist_of(named.name)}"))
    return Concept(named.name, named.kind)


def parts_of(text: str) -> tuple[Named, ...]:
    """Return what a text names together, such as an object in a style; () if a word of it names nothing.

    That is a scene, two objects, or one with a style, a background or both.

    Example:
        >>> [part.name for part in parts_of("a church in the style of noto")]
        ['church', 'noto']
        >>> parts_of("dog and cat on a red background")[2], parts_of("a church in the rain")
        (Named(kind='colour', name='red'), ())
    """
    words, parts = re.findall(r"\w+", text.lower()), list[Named]()
    while words:
        length = next((n for n in range(len(words), 0, -1) if " ".join(words[:n]) in _LEXICON), 0)
        if not length and words[0] not in _JOINTS:
            return ()
        if length:
            parts.append(_LEXICON[" ".join(words[:length])])
        words = words[length or 1 :]
    kinds = tuple(part.kind for part in parts)
    goes_together = kinds == ("scene",) or (kinds[:1] == ("object",) and kinds[1:] in _BESIDE_AN_OBJECT)
    has_background = "colour" not in kinds or re.search(r"\bon\b|background", text.lower())
    return tuple(parts) if goes_together and has_background else ()


def caption_of(parts: Sequence[Named]) -> str:
    """Return the caption of things that are named together, without its first article, as a concept's text is.

    Example:
        >>> caption_of(parts_of("a dog, a cat, in the style of ink"))
        'dog and a cat in ink style'
    """
    names: dict[str, list[str]] = {}
    for part in parts:
        names.setdefault(part.kind, []).append(part.name)
    if "scene" in names:
        return names["scene"][0]
    tails = {"style": "in {} style", "colour": "on {} background"}
    first, *others = names["object"]
    caption = " and ".join([first, *map(with_article, others)])
    named = {"style": names.get("style", []), "colour": list(map(with_article, names.get("colour", [])))}
    return " ".join([caption, *(tails[kind].format(name) for kind in tails for name in named[kind])])


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

# What people join names with.
_JOINTS = frozenset(["a", "an", "the", "and", "by", "in", "on", "with", "of", "style", "background"])
_BESIDE_AN_OBJECT: frozenset[tuple[str, ...]] = frozenset(
    (*objects, *rest)
    for objects in ((), ("object",))
    for rest in ((), ("style",), ("colour",), ("style", "colour"), ("colour", "style"))
    if objects or rest
)

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
