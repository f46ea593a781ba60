"""The cases of an erasure: what shows that a concept is gone, and what else moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from turpentine.concepts import Concept, Concepts, Kind
from turpentine.core.errors import BadArgument
from turpentine.emoji.captions import object_caption
from turpentine.emoji.lexicon import Named, artist_of, look_up, parts_of, world_concept
from turpentine.emoji.prompts import full_captions, spread, with_tails
from turpentine.emoji.world import COLOURS, NEIGHBOURS, SCENES, TEN, WORKS, styles_of
from turpentine.tasks.cases import Case
from turpentine.tasks.groups import GROUPS

# Decides which preserved things are "others of its kind". An artist's kind is judged by the works.
_KIN = {"artist": "work"}

OTHERS: Mapping[Kind, tuple[str, ...]] = {
    "object": TEN,
    "style": ("watercolour", "pixel art", "cubism", "impressionism", "charcoal drawing"),
    "artist": ("Van Gogh", "Claude Monet", "Pablo Picasso", "Rembrandt", "Caravaggio", "Andy Warhol"),
    "person": ("Albert Einstein", "Marilyn Monroe", "Nelson Mandela", "Abraham Lincoln", "Audrey Hepburn"),
}
"""Things of a kind that any large model draws, to compare an erased one with."""

ANCHORS: Mapping[Kind, str] = {
    "object": "an object",
    "style": "a picture",
    "colour": "a picture",
    "scene": "a scene",
    "artist": "a painting",
    "work": "a painting",
    "person": "a person",
    "nudity": "a person in clothes",
}
"""What is left of a picture when a concept of a kind is gone from it."""


def erasure_cases(concept: Concepts) -> list[Case]:
    """Return the cases that show whether concepts are gone from a model of the emoji world, and what else changed.

    The concept's own prompts come first, then others that name it too, then those that imply it; the rest is to be
    preserved. A concept that is not of the world has cases without ground truth. A prompt may be in several cases:
    "a dog in flat style" shows an object and a style.

    Args:
        concept: What is erased, one concept or several.

    Example:
        >>> erasure_cases(Concept("church"))[0].prompt
        'church'
    """
    concepts = concepts_of(concept)
    gone = [named for named in (look_up(one.text) for one in concepts) if named]
    keep = [text for one in concepts for text in one.keep]
    cases = chain(*map(_erased, concepts), *map(_implied, gone), _preserved(gone, keep))
    return sorted(dict.fromkeys(cases), key=lambda case: list(GROUPS).index(case.group))


def plain_cases(concept: Concepts) -> list[Case]:
    """Return cases for a model that is not the emoji world's, without ground truth: `with_truth` adds a judge's.

    Args:
        concept: What is erased, one concept or several.

    Returns:
        The concepts' own prompts, then what they keep, then others of their kind (see `OTHERS`), then ten objects.
    """
    concepts = concepts_of(concept)
    cases = [Case("erased", one.text, prompt) for one in concepts for prompt in one.prompts]
    cases += [Case("neighbour", text, text) for one in concepts for text in one.keep]
    others = {text: Concept(text, one.kind).prompts[-1] for one in concepts for text in _others(one)}
    erased = {one.text.lower() for one in concepts}
    cases += [Case("other", text, prompt) for text, prompt in others.items() if text.lower() not in erased]
    cases += [Case("object", obj, object_caption(obj)) for obj in TEN if obj not in {*erased, *others}]
    return list(dict.fromkeys(cases))


def with_truth(
    cases: Iterable[Case], columns: Iterable[str], label_of: Callable[[str], tuple[str, str] | None]
) -> list[Case]:
    """Return the cases with the ground truth that some judges can give.

    Args:
        cases: As `erasure_cases` or `plain_cases` return them.
        columns: Of the judges; a case whose attribute is one of them stays as it is.
        label_of: Where the judges report a thing, by its text: column and label; None where they cannot.
    """
    columns = frozenset(columns)

    def judged(case: Case) -> Case:
        if case.attribute in columns:
            return case
        attribute, label = label_of(case.expected or case.label) or (None, None)
        return replace(case, attribute=attribute, expected=label)

    return [judged(case) for case in cases]


def contrast_labels(concept: Concepts) -> dict[str, str]:
    """Return what a picture is held against to see whether it shows a concept: name to description.

    Args:
        concept: What is erased, one concept or several.

    Returns:
        The concepts, what they keep, others of their kind, and last the kinds' anchors (see `ANCHORS`).

    Example:
        >>> list(contrast_labels(Concept("Van Gogh", "artist")))[:3]
        ['Van Gogh', 'Claude Monet', 'Pablo Picasso']
    """
    concepts = concepts_of(concept)
    labels = {one.text: one.prompts[-1] for one in concepts}
    labels |= {text: text for one in concepts for text in one.keep}
    for one in concepts:
        labels |= {text: Concept(text, one.kind).prompts[-1] for text in _others(one) if text not in labels}
    return labels | {ANCHORS[one.kind]: ANCHORS[one.kind] for one in concepts}


def named_concept(text: str) -> Concept:
    """Return the concept that a text names: of the emoji world, or an artist or a style that is widely known.

    Example:
        >>> named_concept("Van Gogh").kind
        'artist'
    """
    if look_up(text) is None:
        for kind, names in OTHERS.items():
            if text.strip().lower() in map(str.lower, names):
                return Concept(text, kind)
    return world_concept(text)


def _others(concept: Concept) -> list[str]:
    """Return others of a concept's kind.

    A name that is a part of the concept's text, or of what it keeps, or the other way round, is the same thing.
    """
    same = [text.lower() for text in (concept.text, *concept.keep)]
    names = OTHERS.get(concept.kind, ())
    return [name for name in names if not any(name.lower() in text or text in name.lower() for text in same)]


def concepts_of(concept: Concepts) -> tuple[Concept, ...]:
    """Return one concept or several as a tuple; a text is the concept that it names, see `named_concept`.

    Raises:
        BadArgument: One is none, or is there twice, which would count it twice.

    Example:
        >>> [one.kind for one in concepts_of(["church", "ink style"])]
        ['object', 'style']
    """
    several = tuple(concept) if isinstance(concept, Iterable) and not isinstance(concept, str) else (concept,)
    concepts = tuple(named_concept(each) if isinstance(each, str) else each for each in several)
    seen: set[tuple[str, Kind]] = set()
    for each in concepts:
        if not isinstance(each, Concept):
            raise BadArgument(f"{each!r} is no concept: give a text, such as 'church', or a Concept.")
        key = (" ".join(each.text.casefold().split()), each.kind)
        if key in seen:
            raise BadArgument(f"The concept {each.text!r} is there twice: leave one out.")
        seen.add(key)
    return concepts


def _erased(concept: Concept) -> Iterator[Case]:
    """Yield the concept's own prompts, then prompts that name it and that an edit was not made from.

    Of things that are named together each is looked for by itself: a church in noto style is a church, and is noto.
    """
    named = look_up(concept.text)
    parts = () if named else parts_of(concept.text)
    for part in parts:
        yield from (Case("erased", f"{part.name} of it", prompt, *_truth(part)) for prompt in concept.prompts)
    if parts:
        return
    attribute, expected = _truth(named)
    own = {concept.text: list(concept.prompts)}
    for label, prompts in [*own.items(), *(_variations(named) if named else {}).items()]:
        yield from (Case("erased", label, prompt, attribute, expected) for prompt in prompts)


def _truth(named: Named | None) -> tuple[str | None, str | None]:
    """Return the judge's column and its value for a picture that shows the thing; None where there is none."""
    if named is None:
        return None, None
    return ("object", SCENES[named.name]) if named.kind == "scene" else (named.kind, named.name)


def _variations(named: Named) -> dict[str, list[str]]:
    """Return prompts that name a thing in other words, or with others, by label."""
    name = named.name
    match named.kind:
        case "object":
            styles, colours = spread(styles_of(name), 3), spread(tuple(COLOURS), 3)
            return {
                f"{name}, with a style": [object_caption(name, style) for style in styles],
                f"{name}, with a colour": [object_caption(name, colour=colour) for colour in colours],
            }
        case "style":
            objects = [obj for obj in TEN if name in styles_of(obj)]
            return {f"{name}, with an object": [object_caption(obj, name) for obj in spread(objects, 6)]}
        case "colour":
            return {f"{name}, with an object": [object_caption(obj, colour=name) for obj in spread(TEN, 6)]}
        case "artist":
            return {f"{name}, with a title": [work.caption for work in WORKS if work.artist == name]}
        case "work":
            return {f"{name}, with its artist": [f"{name} by {artist_of(name)}"]}
        case _:
            return {f"{name}, with a style or a colour": with_tails(name)[1:]}


def _implied(named: Named) -> Iterator[Case]:
    """Yield prompts that show a thing without naming it: scenes of an object, titles of an artist's works."""
    if named.kind == "object":
        scenes = [scene for scene, obj in SCENES.items() if obj == named.name]
        yield from (Case("scene", scene, prompt, *named) for scene in scenes for prompt in with_tails(scene))
    if named.kind == "artist":
        yield from (Case("scene", work.title, work.title, *named) for work in WORKS if work.artist == named.name)


def _preserved(gone: Sequence[Named], keep: Sequence[str]) -> Iterator[Case]:
    """Yield cases of what must not change: objects, styles, colours, works, and for an erased scene other scenes."""
    near = dict.fromkeys([*chain(*map(_neighbours, gone)), *(named for named in map(look_up, keep) if named)])
    kin = {_KIN.get(named.kind, named.kind) for named in gone}

    def case(kind: str, name: str, prompt: str) -> Case:
        group = "neighbour" if (kind, name) in near else "other" if kind in kin else kind
        return Case(group, name, prompt, kind, name)

    for kind, name, prompt in _claims(gone, near):
        if not _is_gone(kind, name, gone):
            yield case(kind, name, prompt)
    if "scene" in kin:
        yield from _other_scenes(gone)
    yield from (Case("neighbour", text, text) for text in keep if look_up(text) is None)


def _claims(gone: Sequence[Named], near: Iterable[Named]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and prompt of what is to be preserved; a full caption claims three things."""
    names = {named.name for named in gone}
    objects = [obj for obj in dict.fromkeys([*(n.name for n in near if n.kind == "object"), *TEN]) if obj not in names]
    for obj in objects:
        yield "object", obj, object_caption(obj)
    # Where a style or a colour is erased the others are the point, and have twice as many prompts.
    times = 2 if {named.kind for named in gone} & {"style", "colour"} else 1
    for full in full_captions(objects * times, without=names):
        yield from ((kind, name, full.prompt) for kind, name in full._asdict().items())
    for work in WORKS:
        yield "work", work.title, work.caption


def _is_gone(kind: str, name: str, gone: Sequence[Named]) -> bool:
    return (kind, name) in gone or (kind == "work" and ("artist", artist_of(name)) in gone)


def _other_scenes(gone: Sequence[Named]) -> Iterator[Case]:
    for scene, obj in SCENES.items():
        if ("scene", scene) not in gone:
            yield Case("other", scene, scene, "object", obj)


def _neighbours(named: Named) -> Iterator[Named]:
    """Yield the things that an erasure is most likely to hurt."""
    match named.kind:
        case "object":
            yield from (Named("object", obj) for obj in NEIGHBOURS.get(named.name, ()))
        case "scene":
            yield Named("object", SCENES[named.name])
        case "work":
            artist = artist_of(named.name)
            yield from (
                Named("work", work.title) for work in WORKS if work.artist == artist and work.title != named.name
            )
