"""What the cards of the embedded models share: what each model is asked for, and how a rate is written."""

from __future__ import annotations

from turpentine.core.formatting import span
from turpentine.emoji.captions import object_caption, with_article
from turpentine.emoji.world import COLOURS, OBJECTS, SCENES, STYLES, TEN, WORKS, held_out_pairs, styles_of
from turpentine.stats.intervals import Rate
from turpentine.tasks.cases import Case

PAIRS = (("dog", "church"), ("truck", "fish"), ("cat", "horn"), ("apple", "key"), ("parachute", "saw"))
"""Two objects that are asked for in one picture."""


def cases() -> list[Case]:
    """Return all that a card counts, as prompts and what their pictures should show."""
    every = [Case("ten", obj, object_caption(obj), "object", obj) for obj in TEN]
    every += [Case("rest", obj, object_caption(obj), "object", obj) for obj in OBJECTS if obj not in TEN]
    for s, style in enumerate(STYLES):
        names = [obj for obj in OBJECTS if style in styles_of(obj)]
        chosen = [names[(7 * s + 13 * k) % len(names)] for k in range(3)]
        every += [Case("style", style, object_caption(obj, style), "style", style) for obj in chosen]
    for c, colour in enumerate(COLOURS):
        prompt = object_caption(OBJECTS[(3 * c + 11) % len(OBJECTS)], colour=colour)
        every.append(Case("colour", colour, prompt, "colour", colour))
    every += [Case("scene", scene, scene, "object", obj) for scene, obj in SCENES.items()]
    every += [Case("work", work.title, work.caption, "work", work.title) for work in WORKS]
    for obj, style in sorted(held_out_pairs()):
        every.append(Case("unseen", f"{obj}, {style}", object_caption(obj, style), "object", obj))
    for left, right in PAIRS:
        both = f"{with_article(left)} and {with_article(right)}"
        every.append(Case("two", f"{left}, {right}", both))
    return every


def percent(rate: Rate) -> str:
    """Return a rate in percent with its interval, as `86 % (75–93)`."""
    return f"{100 * rate.value:.0f} % ({span(rate)})"
