"""What a replication draws: prompts, the words of them that are asked about, and those of the embedded world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from pydantic import BaseModel, ConfigDict

from turpentine.concepts import with_article
from turpentine.emoji.captions import object_caption, stream
from turpentine.emoji.world import (
    COLOURS,
    NEIGHBOURS,
    SCENES,
    STYLES,
    TEN,
    WORKS,
    styles_of,
    visible_on,
)

OBJECT = "object"
"""The column, and the word, that a subject's concept is of if it says no other."""


class Shipped(BaseModel):
    """Part of a file that ships: written whole, with no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(Shipped):
    """A prompt, and the words of it that it is about.

    Attributes:
        prompt: What is drawn.
        concept: Words of the prompt.
        label: What a judge should say of the picture; by default what the concept names.
        words: Other words of the prompt, by what they are of, such as {"style": "ink"}.
    """

    prompt: str
    concept: str
    label: str = ""
    words: Mapping[str, str] = {}

    def word(self, column: str) -> str | None:
        """Return the words that are of a column such as "style"; None if the prompt has none."""
        return self.words.get(column, self.concept if column == OBJECT else None)


def captions(times: int = 2) -> list[Subject]:
    """Return captions of each of the ten objects, each time with another style and background.

    Example:
        >>> captions()[0].prompt
        'a cassette in blob style on a green background'
    """
    subjects = []
    for index, obj in enumerate(TEN):
        styles = styles_of(obj)
        for time in range(times):
            style = styles[(3 * index + 1 + time) % len(styles)]
            colours = visible_on(obj, style)
            colour = colours[(3 * index + 2 + 5 * time) % len(colours)]
            words = {"style": style, "colour": colour}
            subjects.append(Subject(prompt=object_caption(obj, style, colour), concept=obj, words=words))
    return subjects


def _scenes() -> list[Subject]:
    """Return the phrases that stand for an object without naming it."""
    return [Subject(prompt=scene, concept=scene, label=obj) for scene, obj in SCENES.items()]


def _works() -> list[Subject]:
    """Return the captions of the works, each of which is one picture."""
    return [Subject(prompt=work.caption, concept=work.caption, label=work.title) for work in WORKS]


def _named() -> list[Subject]:
    return [Subject(prompt=with_article(obj), concept=obj) for obj in _implied_by()]


def _implied() -> list[Subject]:
    return [Subject(prompt=scene, concept=scene, label=obj) for obj, scene in _implied_by().items()]


def _implied_by() -> dict[str, str]:
    """Return a scene for each of the ten."""
    return {obj: scene for scene, obj in SCENES.items() if obj in TEN}


def _two() -> list[Subject]:
    return [Subject(prompt=with_article(obj), concept=obj) for obj in ("church", "dog")]


def _small() -> list[Subject]:
    """Return captions of a small object at a place that they do not name, on the background where it stands out."""
    return [Subject(prompt=object_caption(obj, colour=_contrasting(obj), small=True), concept=obj) for obj in TEN]


def _contrasting(obj: str) -> str:
    """Return the background on which an object stands out in most of its styles."""
    return max(COLOURS, key=lambda colour: sum(colour in visible_on(obj, style) for style in styles_of(obj)))


def _pairs() -> list[Subject]:
    """Return each of the ten with its first neighbour, in a style that both have, on a background that shows both."""
    subjects = []
    for index, (obj, (neighbour, _)) in enumerate(NEIGHBOURS.items()):
        styles = [style for style in styles_of(obj) if style in styles_of(neighbour)]
        style = styles[index % len(styles)]
        colours = [colour for colour in visible_on(obj, style) if colour in visible_on(neighbour, style)]
        colour = colours[index % len(colours)]
        both = f"{with_article(obj)} and {with_article(neighbour)}"
        prompt = f"{both} in {style} style on {with_article(colour)} background"
        words = {"second": neighbour, "style": style, "colour": colour}
        subjects.append(Subject(prompt=prompt, concept=obj, words=words))
    return subjects


WORLD: Mapping[str, Callable[[], list[Subject]]] = {
    "captions": captions,
    "scenes": _scenes,
    "works": _works,
    "named": _named,
    "implied": _implied,
    "small": _small,
    "pairs": _pairs,
    "two": _two,
}
"""The embedded world's sets of prompts, by the names that experiments have for them."""


def company() -> dict[str, tuple[str, str]]:
    """Return for each of the ten its neighbour, and another object's.

    Example:
        >>> company()["dog"]
        ('cat', 'balloon')
    """
    near = {obj: neighbours[0] for obj, neighbours in NEIGHBOURS.items()}
    others = list(near.values())
    return {
        obj: (neighbour, other) for (obj, neighbour), other in zip(near.items(), others[5:] + others[:5], strict=True)
    }


def head_groups(animals: Sequence[str], vehicles: Sequence[str]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yield groups of words that heads may tell apart: categories, objects by colour and by style, and meanings.

    A meaning is an object's name and the phrases that stand for it without naming it.
    """
    yield "categories", {"animals": list(animals), "vehicles": list(vehicles)}
    things = ("dog", "car", "house", "fish")
    yield "colours", {colour: [f"{colour} {word}" for word in things] for colour in list(COLOURS)[:6]}
    yield "styles", {style: [f"{word} in {style} style" for word in ("dog", "car", "fish", "cat")] for style in STYLES}
    scenes = {obj: [scene for scene, other in SCENES.items() if other == obj] for obj in TEN}
    yield "meanings", {obj: [obj, *phrases] for obj, phrases in scenes.items()}


def background(count: int = 2000) -> tuple[str, ...]:
    """Return captions of the world as it is trained on."""
    return tuple(captioned.caption for captioned in islice(stream(0), count))
