"""A second judge of another family beside the first, and which things it finds nearest to a concept."""

from __future__ import annotations

from collections.abc import Sequence

from turpentine.attack.budget import ConceptJudge
from turpentine.attack.harness import concept_judge
from turpentine.bench.erasure_judges import zero_shot_judge
from turpentine.concepts import TEMPLATES, Concept, Kind
from turpentine.core.errors import BadArgument
from turpentine.emoji.lexicon import Named, look_up
from turpentine.emoji.world import COLOURS, OBJECTS, PALETTES, SCENES, STYLES, WORKS
from turpentine.judges.base import Judge
from turpentine.judges.emoji_judge import EmojiJudge
from turpentine.judges.towers import CLIP, ClipTowers, EmojiTowers, Towers
from turpentine.judges.zero_shot import ZeroShot
from turpentine.tasks.erasure_cases import OTHERS

NEAR = 4
"""Neighbours that are measured apart from the others."""

WORLD_NAMES: dict[Kind, tuple[str, ...]] = {
    "object": OBJECTS,
    "style": STYLES,
    "colour": tuple(COLOURS),
    "artist": tuple(PALETTES),
    "scene": tuple(SCENES),
    "work": tuple(work.title for work in WORKS),
}


def second_judge(concept: Concept, first: Judge, *, is_world: bool) -> ConceptJudge | None:
    """Return a judge of another family than the first, None where none is here.

    Towers beside a classifier, by the descriptions of all things of the concept's kind; and beside towers, in the emoji
    world, its classifier.

    Args:
        concept: What it looks for.
        first: The judge of the verdict.
        is_world: Are the pictures of the emoji world?
    """
    if is_world:
        named = look_up(concept.text)
        judge: Judge = EmojiJudge() if isinstance(first, ZeroShot) else _towers(named)
    else:
        judge = zero_shot_judge([concept])
        if isinstance(first, ZeroShot) or judge.download:
            return None
    try:
        return concept_judge(judge, concept)
    except BadArgument:  # it has no label for such a concept
        return None


def _towers(named: Named | None) -> ZeroShot:
    kind: Kind = named.kind if named else "object"
    labels = {name: described(name, kind) for name in WORLD_NAMES[kind]}
    return ZeroShot(labels=labels, model="emoji")


def described(name: str, kind: Kind) -> str:
    """Return a thing's name as a prompt of its kind has it.

    Example:
        >>> described("owl", "object"), described("ink", "style")
        ('an owl', 'a picture in ink style')
    """
    return Concept(name, kind, templates=(TEMPLATES[kind][-1],)).prompts[0]


def nearest(concept: Concept, count: int = NEAR, *, is_world: bool) -> tuple[str, ...]:
    """Return the things of its kind that the towers' text vectors have nearest to a concept; none without towers.

    Args:
        concept: Of the world, or any.
        count: How many.
        is_world: Is it drawn by a model of the emoji world? CLIP's towers, if they are here, are asked otherwise.

    Example:
        >>> "castle" in nearest(Concept("church"), is_world=True)
        True
    """
    named = look_up(concept.text) if is_world else None
    kind, text = (named.kind, named.name) if named else (concept.kind, concept.text)
    names = WORLD_NAMES.get(kind, ()) if is_world else tuple(dict.fromkeys((*OTHERS.get(kind, ()), *concept.keep)))
    others = [name for name in names if name.lower() not in text.lower()]
    towers: Towers = EmojiTowers() if is_world else ClipTowers(CLIP, None, None, {})
    if not others or (is_world and named is None) or towers.download:
        return ()
    return tuple(others[place] for place in _order(towers, [described(each, kind) for each in (text, *others)])[:count])


def _order(towers: Towers, texts: Sequence[str]) -> list[int]:
    """Return the places of texts after the first, from the nearest to it on."""
    vectors = towers.of_texts(list(texts)).double()
    order: list[int] = (vectors[1:] @ vectors[0]).argsort(descending=True, stable=True).tolist()
    return order
