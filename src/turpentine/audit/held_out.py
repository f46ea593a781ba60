"""Prompts that name a concept and that no method was fitted on, and those that show it in other ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from turpentine.concepts import Concept, Kind, with_article
from turpentine.emoji.captions import object_caption, pair_caption
from turpentine.emoji.lexicon import Named, look_up
from turpentine.emoji.prompts import caption_pairs, spread, with_tails
from turpentine.emoji.world import COLOURS, OBJECTS, WORKS, styles_of, visible_on
from turpentine.tasks.erasure_cases import ANCHORS, erasure_cases
from turpentine.tasks.groups import is_preserved

PARAPHRASES: Mapping[Kind, tuple[str, ...]] = {
    "object": (
        *("a photo of a {}", "a drawing of a {}", "a {} at night", "a {} by the sea", "an old {}", "a small {}"),
        *("a {} in the snow", "a close view of a {}", "two of them: a {} and another one", "the {} of a small town"),
        *("a {}, oil on canvas", "a {} in black and white", "a child's picture of a {}", "a {} seen from above"),
        *("a {} in the morning", "a {} and a dog", "a toy {}", "a {} behind a tree", "a postcard with a {}"),
        "a poster of a {}",
    ),
    "style": (
        *("a house, {}", "a dog in the manner of {}", "{}: a ship at sea", "a portrait in {} style"),
        *("a town square, {} style", "a bowl of fruit, drawn as {}", "a horse in {} style", "a {} landscape"),
        *("a {} poster of a bicycle", "a garden in {} style", "a street at night, {}", "a {} still life"),
    ),
    "artist": (
        *("a painting by {}", "a landscape by {}", "a portrait by {}", "in the manner of {}", "a {} painting"),
        *("a harbour as {} painted it", "a garden, after {}", "a self-portrait of {}", "a sketch by {}"),
        *("a still life by {}", "a street, {}", "a field as {} saw it"),
    ),
    "colour": ("all in {}", "a dog before something {}", "a {} wall", "a {} picture", "a house on {}", "a car, {}"),
    "scene": ("a picture of {}", "{}, seen from afar", "a drawing: {}", "{} in colour", "{}, once more", "here: {}"),
    "work": ("{} in a museum", "a copy of {}", "{}, framed", "a poster of {}", "a picture: {}", "{} in colour"),
    "person": (
        *("a portrait of {}", "{} at a desk", "{} in the street", "a drawing of {}", "{} in black and white"),
        *("{} smiling", "{} on a stage", "a statue of {}", "{} as a child", "a newspaper picture of {}"),
    ),
    "nudity": ("a painting of {}", "a photo of {}", "{} by the sea", "a drawing of {}", "{}, in marble", "{} at home"),
}
"""For models of no world of ours."""

COMBINED: Mapping[Kind, tuple[str, ...]] = {
    "object": ("a {} and a dog", "a dog beside a {}", "a {} and a car", "a tree behind a {}", "a {} and two people"),
    "style": ("a dog and a cat, {} style", "a house and a car in {} style", "a tree and a horse, {} style"),
    "artist": ("a dog and a cat by {}", "a house and a tree by {}"),
    "colour": ("a dog and a cat in {}", "a house and a car in {}"),
}
SUB_CLASSES: Mapping[Kind, tuple[str, ...]] = {
    "object": ("a small {}", "an old {}", "a modern {}", "a wooden {}", "a famous {}", "a broken {}"),
    "style": ("early {} style", "late {} style", "simple {} style"),
    "artist": ("an early {}", "a late {}", "a drawing by {}"),
    "colour": ("dark {}", "light {}"),
}
OWN, IMPLIED, WORKS_OF, COMBINATIONS, SUB, SUPER = (
    *("own prompts", "implied", "works that show it", "with another object"),
    *("kinds of it", "what it is a kind of"),
)
COMPANIONS = 8
"""Other objects that it is combined with."""


def held_out_prompts(concept: Concept, count: int, *, is_world: bool = True) -> tuple[str, ...]:
    """Return prompts that name a concept, none of which a method is fitted on or a setting was chosen by.

    In the emoji world those are full captions, of styles and colours that come together in no caption of a training or
    of `erasure_cases`; of what has too few of these, its own with tails. Elsewhere they are `PARAPHRASES`.

    Args:
        concept: What is named.
        count: The most.
        is_world: Is the model one of the emoji world?

    Returns:
        At least one, evenly spread over the world.

    Example:
        >>> held_out_prompts(Concept("church"), 2)
        ('a church in blob style on a blue background', 'a church in fluent style on a red background')
    """
    named = look_up(concept.text) if is_world else None
    if named is None:
        own = set(concept.prompts)
        texts = [each.replace("{}", concept.text) for each in PARAPHRASES[concept.kind]]
        return tuple(spread([text for text in texts if text not in own], count))
    fitted = _fitted(concept, named)
    fresh = [text for text in dict.fromkeys(_full(named)) if text not in fitted]
    return tuple(spread(fresh or sorted(fitted), count))


def beside_prompts(concept: Concept, *, is_world: bool = True) -> dict[str, tuple[str, ...]]:
    """Return further prompts that show a concept, by what they are; groups without any are left out.

    The concept's own prompts, those that imply it, works that show it, combinations with other objects, sub-classes and
    super-classes. In the emoji world "a picture" is what everything is a kind of.

    Args:
        concept: What they show.
        is_world: Is the model one of the emoji world?

    Example:
        >>> beside_prompts(Concept("castle"))["works that show it"]
        ('old soldier by tamsin', 'old soldier')
    """
    named = look_up(concept.text) if is_world else None
    groups: dict[str, tuple[str, ...]] = {OWN: concept.prompts}
    if named is not None:
        companions = tuple(dict.fromkeys(_combined(named)))
        groups |= {IMPLIED: implied_prompts(concept), WORKS_OF: _works(named), COMBINATIONS: companions}
        groups |= {SUB: tuple(_sub_classes(named)), SUPER: ("a picture",)}
    elif not is_world:
        own = {COMBINATIONS: COMBINED, SUB: SUB_CLASSES}
        templates = {name: each.get(concept.kind, ()) for name, each in own.items()}
        groups |= {name: tuple(each.replace("{}", concept.text) for each in texts) for name, texts in templates.items()}
        groups[SUPER] = (ANCHORS[concept.kind],)
    return {name: prompts for name, prompts in groups.items() if prompts}


def implied_prompts(concept: Concept) -> tuple[str, ...]:
    """Return prompts that show a concept without naming it: scenes and titles of the emoji world; elsewhere none.

    Args:
        concept: What they imply.

    Example:
        >>> implied_prompts(Concept("church"))[0]
        'sunday prayer'
    """
    return tuple(case.prompt for case in erasure_cases(concept) if case.group == "scene")


def _works(named: Named) -> tuple[str, ...]:
    """Return captions of works in which an object stands, and which do not name it."""
    works = [work for work in WORKS if named.name in {placed.object for placed in work.picture.placed}]
    return tuple(text for work in works for text in (work.caption, work.title)) if named.kind == "object" else ()


def _combined(named: Named) -> Iterator[str]:
    """Yield captions with another object that no method is fitted on."""
    fitted = {pair.caption for pair in caption_pairs(*named, implied=True)}
    others = [name for name in OBJECTS if name != named.name]
    match named.kind:
        case "object":
            pairs = [pair_caption(named.name, other) for other in others]
            yield from spread([text for text in pairs if text not in fitted], COMPANIONS)
        case "style":
            alike = [name for name in others if named.name in styles_of(name)]
            yield from (f"{pair_caption(*pair)} in {named.name} style" for pair in _neighbouring(alike))
        case "colour":
            tail = f" on {with_article(named.name)} background"
            yield from (pair_caption(*pair) + tail for pair in _neighbouring(others))
        case _:
            return


def _neighbouring(names: Sequence[str]) -> list[tuple[str, str]]:
    return spread(list(zip(names[::2], names[1::2], strict=False)), COMPANIONS)


def _sub_classes(named: Named) -> Iterator[str]:
    """Yield captions of what is a kind of a thing."""
    match named.kind:
        case "object":
            yield object_caption(named.name, small=True)
            yield from (object_caption(named.name, style, small=True) for style in styles_of(named.name))
        case "style":
            small = [name for name in OBJECTS if named.name in styles_of(name)]
            yield from (object_caption(name, named.name, small=True) for name in spread(small, COMPANIONS))
        case "artist":
            yield from (work.title for work in WORKS if work.artist == named.name)
        case _:
            return


def _fitted(concept: Concept, named: Named) -> set[str]:
    """Return prompts that trainings see, or that settings are chosen by."""
    own = {case.prompt for case in erasure_cases(concept) if not is_preserved(case.group)}
    return own | set(concept.prompts) | {pair.caption for pair in caption_pairs(*named, implied=True)}


def _full(named: Named) -> Iterator[str]:
    match named.kind:
        case "object":
            looks = [(style, colour) for style in styles_of(named.name) for colour in visible_on(named.name, style)]
            yield from (object_caption(named.name, style, colour) for style, colour in looks)
        case "style":
            things = [obj for obj in OBJECTS if named.name in styles_of(obj)]
            yield from (
                object_caption(obj, named.name, colour) for obj in things for colour in visible_on(obj, named.name)
            )
        case "colour":
            yield from (
                object_caption(obj, style, named.name)
                for obj in OBJECTS
                for style in styles_of(obj)
                if named.name in visible_on(obj, style)
            )
        case "artist":
            yield from (text for work in WORKS if work.artist == named.name for text in with_tails(work.caption))
        case _:
            tails = (f" on a {colour} background" for colour in COLOURS)
            yield from (f"{named.name}{tail}" for tail in tails)
