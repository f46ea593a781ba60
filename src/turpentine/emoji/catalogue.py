"""What the emoji world knows, as lists to read and pictures to look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from turpentine.emoji.captions import scene_picture, single_picture
from turpentine.emoji.world import (
    COLOURS,
    COMPANIONS,
    MOODS,
    NEIGHBOURS,
    OBJECTS,
    PALETTES,
    SCENES,
    STYLES,
    WORKS,
    Picture,
    held_out_pairs,
    render,
    styles_of,
    visible_on,
)

SIDE = 128
"""Pixels of a picture of the catalogue."""


class Sample(NamedTuple):
    """A picture of something that the world knows.

    Attributes:
        name: What it is of, as a caption has it.
        picture: Rendered by the world, not drawn by the model.
    """

    name: str
    picture: Image.Image


def catalogue() -> dict[str, Any]:
    """Return what the world knows by kind, as JSON has it.

    Example:
        >>> church = catalogue()["objects"][2]
        >>> church["name"], church["held out"], church["neighbours"]
        ('church', ['noto'], ['house', 'castle'])

    Returns:
        objects: Name, styles that it is trained in, styles that are held out, and for ten the two nearest others.
        styles, colours: Names.
        scenes: Name, the object that it usually shows, its usual backgrounds, and what stands in its corner.
        works: Title, artist, and the caption that names both.
        artists: Names.
    """
    return {
        "objects": [_object(name) for name in OBJECTS],
        "styles": list(STYLES),
        "colours": list(COLOURS),
        "scenes": [
            {"name": name, "object": shows, "colours": list(MOODS[name]), "companion": COMPANIONS[name]}
            for name, shows in SCENES.items()
        ],
        "works": [{"title": work.title, "artist": work.artist, "caption": work.caption} for work in WORKS],
        "artists": list(PALETTES),
    }


def samples() -> Iterator[tuple[str, list[Sample]]]:
    """Yield each kind with a picture of each thing of it, the same in every run."""
    rng = np.random.default_rng(0)
    yield "objects", [_sample(name, _plain(rng, name)) for name in OBJECTS]
    yield "styles", [_sample(style, single_picture(rng, "dog", style, "white", held_out=True)) for style in STYLES]
    yield "colours", [_sample(colour, _plain(rng, "owl", colour)) for colour in COLOURS]
    scenes = ((scene, scene_picture(rng, scene, obj, styles_of(obj)[0])) for scene, obj in SCENES.items())
    yield "scenes", [_sample(name, picture) for name, picture in scenes]
    yield "works", [_sample(work.title, work.picture) for work in WORKS]
    groups = [(name, *others) for name, others in NEIGHBOURS.items()]
    for one, other in zip(groups[::2], groups[1::2], strict=True):
        title = f"{one[0]} and its neighbours; {other[0]} and its neighbours"
        yield title, [_sample(each, _plain(rng, each)) for each in (*one, *other)]


def _object(name: str) -> dict[str, Any]:
    held_out = [style for style in STYLES if (name, style) in held_out_pairs()]
    return {
        "name": name,
        "styles": list(styles_of(name)),
        "held out": held_out,
        "neighbours": list(NEIGHBOURS.get(name, ())),
    }


def _plain(rng: np.random.Generator, name: str, colour: str | None = None) -> Picture:
    """Return an object in the first style that is seen on a colour, by default on the lightest that it is seen on."""
    colours = (colour,) if colour else ("white", "yellow", "pink", "gray", *COLOURS)
    pairs = ((style, each) for each in colours for style in styles_of(name) if each in visible_on(name, style))
    style, background = next(pairs)
    return single_picture(rng, name, style, background)


def _sample(name: str, picture: Picture) -> Sample:
    return Sample(name, Image.fromarray(render(picture, SIDE)))
