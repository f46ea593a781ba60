"""Prompts that name a concept and that no method was fitted on, and prompts for other things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from turpentine.bench.erasure_judges import cases_for
from turpentine.concepts import Concept, Kind
from turpentine.emoji.captions import object_caption
from turpentine.emoji.lexicon import Named, look_up
from turpentine.emoji.prompts import caption_pairs, spread, with_tails
from turpentine.emoji.world import COLOURS, OBJECTS, WORKS, styles_of, visible_on
from turpentine.judges.base import Judge
from turpentine.models import Model
from turpentine.tasks.cases import Case
from turpentine.tasks.erasure_cases import erasure_cases
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
}
"""For models of no world of ours."""


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


def other_cases(model: Model, concept: Concept, judge: Judge, count: int) -> list[Case]:
    """Return prompts for other things, with what their pictures should show, evenly from all groups.

    Args:
        model: Draws them.
        concept: What is erased.
        judge: Who is to see them; what it has no label for is left out.
        count: The most.
    """
    cases = cases_for(model, [concept], [judge])
    return spread([case for case in cases if is_preserved(case.group) and case.expected is not None], count)


def implied_prompts(concept: Concept) -> tuple[str, ...]:
    """Return prompts that show a concept without naming it: scenes and titles of the emoji world; elsewhere none.

    Args:
        concept: What they imply.

    Example:
        >>> implied_prompts(Concept("church"))[0]
        'sunday prayer'
    """
    return tuple(case.prompt for case in erasure_cases(concept) if case.group == "scene")


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
