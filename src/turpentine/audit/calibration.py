"""How often a judge is right, before anything is edited: counted on pictures of the world, or by people.

The emoji world renders pictures whose content is certain: of the concept, and of others of its kind. They are no
pictures that a model draws; what people say of those is in the file of a study, which takes their place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from turpentine.attack.budget import ConceptJudge
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.parts import RECORDS, Parts
from turpentine.core.safe_text import one_line
from turpentine.emoji.captions import single_picture
from turpentine.emoji.lexicon import Named, look_up
from turpentine.emoji.world import COLOURS, OBJECTS, SIZE, STYLES, render, styles_of, visible_on
from turpentine.stats.intervals import Rate
from turpentine.stats.prevalence import JudgeError

PICTURES = 300
"""Rendered pictures with the concept, and as many without it."""
SCHEMA = 1
"""Of the file of a study."""


@dataclass(frozen=True)
class Calibration:
    """How often a judge is right, and who says so.

    Args:
        error: Sensitivity and specificity.
        source: Where they are from, in words.
    """

    error: JudgeError
    source: str

    def numbers(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        rates = {"sensitivity": self.error.sensitivity, "specificity": self.error.specificity}
        return {**{name: [rate.hits, rate.n] for name, rate in rates.items()}, "source": self.source}


def calibrated(
    shows: ConceptJudge, concept: Concept, count: int = PICTURES, size: int = SIZE, folder: Path | None = None
) -> Calibration | None:
    """Count how often a judge is right on rendered pictures of the emoji world.

    Args:
        shows: The judge, of the concept.
        concept: An object, a style or a background colour of the world; of others there are too few pictures.
        count: Pictures with the concept, and as many without it.
        size: Pixels of a side.
        folder: Of finished parts; with None nothing is stored.

    Returns:
        None for a concept that the world has too few pictures of.

    Raises:
        BadArgument: The judge is no better than chance.
    """
    named = look_up(concept.text)
    if named is None or named.kind not in ("object", "style", "colour"):
        return None
    parts: Parts[list[int]] = Parts(folder, ["calibration", 1, shows.facts(), list(named), count, size], RECORDS)

    def counts() -> list[int]:
        rng = np.random.default_rng(0)
        return [sum(shows([_rendered(rng, named, has, size) for _ in range(count)])) for has in (True, False)]

    seen, false = parts.part("counts", counts)
    error = JudgeError(Rate(seen, count), Rate(count - false, count))
    return Calibration(error, f"{count:,} rendered pictures with it and {count:,} without")


def _rendered(rng: np.random.Generator, named: Named, has: bool, size: int) -> Image.Image:
    """Return a picture of one object that has the thing, or another of its kind."""
    options: tuple[str, ...] = {"object": OBJECTS, "style": STYLES, "colour": tuple(COLOURS)}[str(named.kind)]
    while True:
        choice = named.name if has else str(rng.choice([name for name in options if name != named.name]))
        obj = choice if named.kind == "object" else str(rng.choice(OBJECTS))
        style = choice if named.kind == "style" else str(rng.choice(styles_of(obj)))
        if style not in styles_of(obj):
            continue
        colour = choice if named.kind == "colour" else str(rng.choice(visible_on(obj, style)))
        if colour in visible_on(obj, style):
            return Image.fromarray(render(single_picture(rng, obj, style, colour), size))


def read_calibration(path: Path, shows: ConceptJudge, concept: Concept) -> Calibration:
    """Read how often people agree with a judge, from the file that a study writes.

    JSON: `{"schema": 1, "judge": NAME, "concept": NAME, "sensitivity": [hits, n], "specificity": [hits, n],
    "plan": HASH}`.

    Args:
        path: The file.
        shows: The judge of the audit, of the concept.
        concept: Of the audit.

    Raises:
        BadArgument: It is no such file, or is of another judge or concept.
    """
    name = one_line(str(path))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadArgument(f"{name} cannot be read as JSON: give the file of a study's rates of a judge.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise BadArgument(f"{name} is no file of a judge's rates in schema {SCHEMA}: give the one that a study wrote.")
    for key, own in (("judge", shows.judge.name), ("concept", concept.text)):
        if content.get(key) != own:
            raise BadArgument(
                f"{name} is of the {key} {one_line(str(content.get(key)))!r}, and the audit of {own!r}: give the file "
                "of the same."
            )
    if not isinstance(content.get("plan"), str) or not content["plan"]:
        raise BadArgument(
            f"{name} does not say which plan its pictures were drawn by: give the file as it was written."
        )
    rates = [_rate(content.get(key), key, name) for key in ("sensitivity", "specificity")]
    return Calibration(JudgeError(*rates), f"people, by the plan {one_line(content['plan'])}")


def _rate(value: Any, key: str, name: str) -> Rate:
    is_pair = isinstance(value, list) and len(value) == 2 and all(type(each) is int for each in value)
    if not is_pair or not 0 <= value[0] <= value[1] or value[1] < 1:
        raise BadArgument(f"{name}: {key} is {one_line(str(value))}, and is to be [hits, n] of 1 or more pictures.")
    return Rate(*value)
