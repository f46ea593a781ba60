"""Pictures in the hands of the emoji world's artists: their works as examples, and pictures that are no works."""

from __future__ import annotations

from itertools import product

from PIL import Image

from turpentine.emoji.world import PALETTES, TEN, WORKS, Picture, Placed, render, styles_of
from turpentine.study.pictures import Still

ARTISTS = tuple(PALETTES)
_PLACES = ((2, 2, 22), (8, 8, 23), (6, 1, 20))


def work_stills(artist: str) -> list[Still]:
    """Return the works of an artist.

    Example:
        >>> len(work_stills("lumen"))
        3
    """
    return [_still(work.picture) for work in WORKS if work.artist == artist]


def hand_stills(artist: str, count: int) -> list[Still]:
    """Return pictures in an artist's hand that are none of the works; the n-th of two artists differ in the hand alone.

    Args:
        artist: One of `ARTISTS`.
        count: How many, at most 30.
    """
    scenes = list(product(_PLACES, enumerate(TEN)))[:count]
    return [
        _still(Picture("white", (Placed(name, styles_of(name)[number % 2], *place),), artist))
        for place, (number, name) in scenes
    ]


def similar_artist(artist: str) -> str:
    """Return another of the world's artists, for whom a hand could be taken."""
    return ARTISTS[(ARTISTS.index(artist) + 1) % len(ARTISTS)]


def _still(picture: Picture) -> Still:
    return Still(Image.fromarray(render(picture)))
