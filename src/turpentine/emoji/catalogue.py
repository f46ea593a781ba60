"""What the emoji world knows, as lists to read and pictures to look at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from turpentine.emoji import LARGER_NAME, MMDIT_NAME, WORLD
from turpentine.emoji.captions import RELATIONS, related_picture, relation_caption, scene_picture, single_picture
from turpentine.emoji.world import (
    COLOURS,
    COMPANIONS,
    MOODS,
    NEIGHBOURS,
    OBJECTS,
    PALETTES,
    SCENES,
    STYLES,
    TINTS,
    WORKS,
    Picture,
    held_out_pairs,
    held_out_tints,
    render,
    styles_of,
    tints_of,
    visible_on,
)

MODELS = (WORLD, LARGER_NAME, MMDIT_NAME)
"""The embedded models whose world is listed; the second one's is larger."""

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


def catalogue(model: str = WORLD) -> dict[str, Any]:
    """Return what the world of an embedded model knows by kind, as JSON has it.

    Example:
        >>> church = catalogue()["objects"][2]
        >>> church["name"], church["held out"], church["neighbours"]
        ('church', ['noto'], ['house', 'castle'])
        >>> catalogue("emoji-64")["relations"][0]
        'left of'

    Args:
        model: One of `MODELS`.

    Returns:
        objects: Name, styles that it is trained in, styles that are held out, and for ten the two nearest others.
        styles, colours: Names.
        scenes: Name, the object that it usually shows, its usual backgrounds, and what stands in its corner.
        works: Title, artist, and the caption that names both.
        artists: Names.
        relations: In the larger world, how one object stands to another; there, objects have tints too, the colours
            that they are trained in, and those that are held out.
    """
    is_larger = model == LARGER_NAME
    return {
        "objects": [{**_object(name), **(_tints(name) if is_larger else {})} for name in OBJECTS],
        "styles": list(STYLES),
        "colours": list(COLOURS),
        "scenes": [
            {"name": name, "object": shows, "colours": list(MOODS[name]), "companion": COMPANIONS[name]}
            for name, shows in SCENES.items()
        ],
        "works": [{"title": work.title, "artist": work.artist, "caption": work.caption} for work in WORKS],
        "artists": list(PALETTES),
        **({"relations": list(RELATIONS)} if is_larger else {}),
    }


def samples(model: str = WORLD) -> Iterator[tuple[str, list[Sample]]]:
    """Yield each kind with a picture of each thing of it, the same in every run.

    Args:
        model: One of `MODELS`.
    """
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
    if model == LARGER_NAME:
        coloured = [(tint, next(name for name in OBJECTS if tint in tints_of(name))) for tint in TINTS]
        yield "coloured objects", [_sample(f"{tint} {name}", _tinted(rng, name, tint)) for tint, name in coloured]
        related = [(relation, _related(rng, relation)) for relation in RELATIONS]
        yield "relations", [_sample(relation_caption(picture, relation), picture) for relation, picture in related]


def _object(name: str) -> dict[str, Any]:
    held_out = [style for style in STYLES if (name, style) in held_out_pairs()]
    return {
        "name": name,
        "styles": list(styles_of(name)),
        "held out": held_out,
        "neighbours": list(NEIGHBOURS.get(name, ())),
    }


def _tints(name: str) -> dict[str, Any]:
    held_out = [tint for tint in TINTS if (name, tint) in held_out_tints()]
    return {"tints": list(tints_of(name)), "held out tints": held_out}


def _tinted(rng: np.random.Generator, name: str, tint: str) -> Picture:
    return single_picture(rng, name, styles_of(name)[0], tint=tint)


def _related(rng: np.random.Generator, relation: str) -> Picture:
    """Return a church in a relation to a dog; some draws have no background that shows both."""
    return next(filter(None, (related_picture(rng, "church", "dog", relation) for _ in count())))


def _plain(rng: np.random.Generator, name: str, colour: str | None = None) -> Picture:
    """Return an object in the first style that is seen on a colour, by default on the lightest that it is seen on."""
    colours = (colour,) if colour else ("white", "yellow", "pink", "gray", *COLOURS)
    pairs = ((style, each) for each in colours for style in styles_of(name) if each in visible_on(name, style))
    style, background = next(pairs)
    return single_picture(rng, name, style, background)


def _sample(name: str, picture: Picture) -> Sample:
    return Sample(name, Image.fromarray(render(picture, SIDE)))
