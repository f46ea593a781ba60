"""Captions of the emoji world for measuring, chosen by rule so that every run uses the same prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from turpentine.emoji.captions import object_caption, with_article
from turpentine.emoji.world import COLOURS, STYLES, styles_of, visible_on

Item = TypeVar("Item")


class FullCaption(NamedTuple):
    """The object, style and background colour of a full caption."""

    object: str
    style: str
    colour: str

    @property
    def prompt(self) -> str:
        """The caption, such as "a dog in flat style on a blue background"."""
        return object_caption(*self)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return up to `count` items, evenly spaced.

    Example:
        >>> spread("abcdef", 3)
        ['a', 'c', 'e']
    """
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def with_tails(caption: str) -> list[str]:
    """Return the caption as it is, with a style, and with a background colour."""
    return [caption, f"{caption} in {STYLES[0]} style", f"{caption} on {with_article('white')} background"]


def full_captions(objects: Iterable[str], without: Collection[str] = ()) -> Iterator[FullCaption]:
    """Yield a full caption for each object; styles and colours take turns, so that each comes about as often.

    Only combinations that the world renders visibly are used; an object without any is left out.

    Args:
        objects: Objects, one caption each.
        without: Styles and colours that must not be named.
    """
    uses: Counter[str] = Counter()

    def turn(full: FullCaption) -> float:
        return uses[full.style] / len(STYLES) + uses[full.colour] / len(COLOURS) + 100 * uses[full.prompt]

    for obj in objects:
        options = [FullCaption(obj, style, colour) for style in styles_of(obj) for colour in visible_on(obj, style)]
        allowed = [full for full in options if full.style not in without and full.colour not in without]
        if allowed:
            chosen = min(allowed, key=turn)
            uses.update([chosen.style, chosen.colour, chosen.prompt])
            yield chosen
