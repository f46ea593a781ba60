"""Two objects in one picture: an edit can destroy all such pictures and leave each object alone as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from turpentine.concepts import Concept
from turpentine.emoji.captions import pair_caption
from turpentine.emoji.lexicon import look_up
from turpentine.emoji.world import NEIGHBOURS, OBJECTS, SCENES, WORKS
from turpentine.tasks.cases import Case

PAIRS = 5
"""Prompts for two objects: of fewer an interval over prompts says little."""


def pair_cases(concepts: Sequence[Concept], place_of: Callable[[str], tuple[str, str] | None]) -> list[Case]:
    """Return up to `PAIRS` cases of two objects in one picture, a hit where a judge finds both the likeliest.

    Neither object is erased, or shown by what is erased. The nearest to it come first, then those that are asked for
    alone too.

    Args:
        concepts: What is erased.
        place_of: Where a judge that can name two things in a picture reports an object: column and label; None where
            there is no such judge, or it does not know the object.

    Returns:
        Empty where fewer than two objects have a place.

    Example:
        >>> cases = pair_cases([Concept("church")], lambda name: ("object", name))
        >>> cases[0].prompt, cases[0].expected, cases[0].also
        ('a house and a horn', 'house', 'horn')
    """
    places = {name: place for name in _others(concepts) if (place := place_of(name))}
    cases = []
    for left, right in side_by_side(list(places)[: 2 * PAIRS]):
        (column, label), (other_column, other_label) = places[left], places[right]
        if column == other_column:
            prompt = pair_caption(left, right)
            cases.append(Case("pair", f"{left} and {right}", prompt, column, label, also=other_label))
    return cases


def side_by_side(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of names, each name in one pair at most: the first half beside the second.

    Example:
        >>> side_by_side(["owl", "dog", "car", "bus", "key"])
        [('owl', 'car'), ('dog', 'bus')]
    """
    half = len(names) // 2
    return list(zip(names[:half], names[half : 2 * half], strict=True))


def objects_in(concepts: Sequence[Concept]) -> set[str]:
    """Return the emoji world's objects that a picture of some concepts shows, as far as their names say.

    What the world does not know shows each object of whose name it has a word: a golf ball a golf flag.

    Args:
        concepts: What is erased.

    Example:
        >>> sorted(objects_in([Concept("sunday prayer", "scene"), Concept("golf ball")]))
        ['church', 'golf flag']
    """
    visible = set[str]()
    for concept in concepts:
        named, text = look_up(concept.text), concept.text.lower()
        if named is None:
            visible |= {name for name in OBJECTS if any(word in text for word in name.split())}
        else:
            visible |= {named.name, SCENES.get(named.name, named.name)}
            visible |= {each.object for work in WORKS if work.title == named.name for each in work.picture.placed}
    return visible & set(OBJECTS)


def _others(concepts: Sequence[Concept]) -> list[str]:
    """Return the objects that concepts neither name nor show, the nearest to them first."""
    visible = objects_in(concepts)
    near = [other for name in OBJECTS if name in visible for other in NEIGHBOURS.get(name, ())]
    preserved = [named.name for one in concepts for text in one.keep if (named := look_up(text))]
    return [name for name in dict.fromkeys([*near, *preserved, *OBJECTS]) if name in OBJECTS and name not in visible]
