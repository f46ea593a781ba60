"""Prompts of the small world whose every word is known: each of the ten objects, in a style, on a background."""

from __future__ import annotations

from dataclasses import dataclass

from turpentine.emoji.captions import object_caption
from turpentine.emoji.world import TEN, styles_of, visible_on


@dataclass(frozen=True)
class Asked:
    """A prompt and what is true of its pictures."""

    prompt: str
    object: str
    style: str
    colour: str


def asked(times: int = 1) -> list[Asked]:
    """Each of the ten so many times, each time with another style and background."""
    found = []
    for index, obj in enumerate(TEN):
        styles = styles_of(obj)
        for time in range(times):
            style = styles[(3 * index + 1 + time) % len(styles)]
            colours = visible_on(obj, style)
            colour = colours[(3 * index + 2 + 5 * time) % len(colours)]
            found.append(Asked(object_caption(obj, style, colour), obj, style, colour))
    return found
