"""Captions of the emoji world for measuring: chosen by rule, so that every run asks for the same pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from turpentine.emoji.captions import object_caption, with_article
from turpentine.emoji.world import COLOURS, STYLES, styles_of, visible_on

Item = TypeVar("Item")


class Full(NamedTuple):
    """What a full caption names."""

    object: str
    style: str
    colour: str

    @property
    def prompt(self) -> str:
        """Such as "a dog in flat style on a blue background"."""
        return object_caption(*self)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Up to `count` items, evenly spaced."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def with_tails(caption: str) -> list[str]:
    """The caption as it is, with a style, and with a colour."""
    return [caption, f"{caption} in {STYLES[0]} style", f"{caption} on {with_article('white')} background"]


def full_captions(objects: Iterable[str], without: Collection[str] = ()) -> Iterator[Full]:
    """A full caption for each object; styles and colours take turns, so that each comes about as often.

    without: styles and colours that must not be named. Only pairs that the world draws, and that can be seen; an object
    without any is left out.
    """
    said: Counter[str] = Counter()

    def turn(full: Full) -> float:
        return said[full.style] / len(STYLES) + said[full.colour] / len(COLOURS) + 100 * said[full.prompt]

    for obj in objects:
        options = [Full(obj, style, colour) for style in styles_of(obj) for colour in visible_on(obj, style)]
        allowed = [full for full in options if full.style not in without and full.colour not in without]
        if allowed:
            chosen = min(allowed, key=turn)
            said.update([chosen.style, chosen.colour, chosen.prompt])
            yield chosen
