"""Statistics of the pixels alone: a broken picture counts as broken, whatever another judge sees in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from jaxtyping import Float
from PIL import Image

from turpentine.core.imaging import as_seen
from turpentine.judges.base import LABEL, Column, PictureJudge
from turpentine.judges.collapse import thumbnail

BLANK = 0.04
"""A picture of less contrast shows nothing. The faintest of the emoji world's pictures has 0.06."""

NOISE = 0.06
"""A picture that is rougher is noise. Of the emoji world's pictures none is, of decoded Gaussian latents 30 %, of
latents twice as wide all."""


@dataclass(frozen=True, eq=False)
class PictureStatistics(PictureJudge):
    """Contrast, roughness, and whether a picture is broken; a judge for any model.

    The column contrast is the largest standard deviation of a colour channel, 0 to 0.5. roughness is the median
    difference of neighbouring pixels, in the channel where it is largest, 0 to 1; drawings and photographs have wide
    calm parts and so a small median. broken is "blank", "noise" or null. thumbnail is for `collapse`, which compares
    pictures of several seeds.

    Example:
        >>> PictureStatistics()([Image.new("RGB", (8, 8))])["broken"].to_list()
        ['blank']
    """

    name: ClassVar[str] = "picture statistics"
    revision: ClassVar[str] = "2"
    download: ClassVar[None] = None
    columns: ClassVar[Mapping[str, Column]] = {
        "contrast": Column(0.0, 0.5),
        "roughness": Column(0.0, 1.0),
        "broken": LABEL,
        "thumbnail": LABEL,
    }
    settings: ClassVar[Mapping[str, Any]] = {"blank below contrast": BLANK, "noise above roughness": NOISE}

    def scores(self, images: Sequence[Image.Image]) -> pl.DataFrame:
        """Measure each picture.

        Args:
            images: Pictures of any size.

        Returns:
            A row for each picture: contrast, roughness, broken and thumbnail.
        """
        schema = {"contrast": pl.Float64, "roughness": pl.Float64, "broken": pl.String, "thumbnail": pl.Binary}
        return pl.DataFrame([_row(image) for image in images], schema=schema, orient="row")


def _row(image: Image.Image) -> tuple[float, float, str | None, bytes]:
    pixels = np.asarray(as_seen(image), dtype=np.float32) / 255
    c, r = contrast(pixels), roughness(pixels)
    return c, r, _fault(c, r), thumbnail(image)


def contrast(pixels: Float[np.ndarray, "height width channel"]) -> float:
    """Return the largest standard deviation of a colour channel, of values from 0 to 1."""
    return float(pixels.std(axis=(0, 1)).max())


def roughness(pixels: Float[np.ndarray, "height width channel"]) -> float:
    """Return the median over all pairs of neighbours of their largest difference in a channel; 0 for one pixel."""
    steps = [np.abs(np.diff(pixels, axis=axis)).max(axis=-1).ravel() for axis in (0, 1)]
    pairs = np.concatenate(steps)
    return float(np.median(pairs)) if pairs.size else 0.0


def _fault(contrast: float, roughness: float) -> str | None:
    if contrast < BLANK:
        return "blank"
    return "noise" if roughness > NOISE else None
