"""Which of the emoji world's works a picture is, by comparing pixels: a work is always the same picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import polars as pl
from jaxtyping import Float
from PIL import Image

from turpentine.core.imaging import as_seen
from turpentine.emoji.world import SIZE, WORKS, render

SCHEMA = {"work": pl.String, "artist": pl.String, "work_distance": pl.Float64}


def nearest_works(images: Sequence[Image.Image]) -> pl.DataFrame:
    """Return title and artist of the work nearest to each picture, null beyond `radius()`, and its distance."""
    return pl.DataFrame([_nearest(_pixels(image)) for image in images], schema=SCHEMA, orient="row")


@cache
def radius(size: int = SIZE) -> float:
    """Return the distance from which a picture is no work: as far as the two most alike works are apart."""
    works = _works(size)
    return float(min(np.abs(a - b).mean() for i, a in enumerate(works) for b in works[:i]))


@cache
def _works(size: int) -> Float[np.ndarray, "work size size 3"]:
    return np.stack([render(work.picture, size) for work in WORKS]).astype(np.float32) / 255


def _pixels(image: Image.Image) -> Float[np.ndarray, "size size 3"]:
    """Return the picture at a size that works are drawn at: its own, or the world's.

    A work drawn at another size is not the same picture made smaller: its palette is stretched over what is drawn.
    """
    image = as_seen(image)
    size = image.width if image.width == image.height and image.width in (SIZE, 2 * SIZE) else SIZE
    fitted = image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BOX)
    return np.asarray(fitted, dtype=np.float32) / 255


def _nearest(pixels: Float[np.ndarray, "size size 3"]) -> tuple[str | None, str | None, float]:
    """Return the nearest work by the mean absolute difference over pixels and channels, 0 to 1."""
    size = len(pixels)
    distances = np.abs(_works(size) - pixels).mean(axis=(1, 2, 3))
    index = int(distances.argmin())
    distance = float(distances[index])
    if distance >= radius(size):
        return None, None, distance
    return WORKS[index].title, WORKS[index].artist, distance
