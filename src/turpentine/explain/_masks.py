"""Masks of attention maps, and how well a map shows what is where a mask says."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from PIL import Image

from turpentine.explain._image_stats import overlap, peaks_inside, rank_inside

Heat = Float[np.ndarray, "height width"]
Mask = Bool[np.ndarray, "tall wide"]
Rule = Literal["range", "maximum"]
"""What a threshold is a share of: the way from a map's smallest value to its largest, or the latter alone."""

SCORES: Final = {"iou": pl.Float64, "auc": pl.Float64, "hit": pl.Boolean}
"""Of a map against a mask: see `agreement`."""


def enlarge(heat: Heat, image: Image.Image) -> Float[np.ndarray, "tall wide"]:
    """Return a map at the size of the picture."""
    large = Image.fromarray(heat.astype(np.float32)).resize(image.size, Image.Resampling.BICUBIC)
    return np.asarray(large, dtype=np.float64).clip(0)


def mask_of(heat: Heat, image: Image.Image, threshold: float, rule: Rule = "range") -> Mask:
    """Return where a map, at the picture's size, is at its threshold or above.

    Args:
        heat: The map.
        image: Of the size that the mask has.
        threshold: A share, 0 to 1.
        rule: What it is a share of: the way from the map's smallest value to its largest, or the maximum.
    """
    large = enlarge(heat, image)
    least = large.min() if rule == "range" else 0.0
    mask: Mask = large - least >= threshold * (large.max() - least)
    return mask


def agreement(
    heat: Heat, image: Image.Image, mask: Mask, threshold: float, rule: Rule
) -> tuple[float, float | None, bool | None]:
    """Return iou, auc and hit of a map against a mask of the picture's size; see `MapsFinding.against`."""
    large = enlarge(heat, image)
    return overlap(mask_of(heat, image, threshold, rule), mask), rank_inside(large, mask), peaks_inside(large, mask)
