"""Whether a model has collapsed: it draws one picture for every seed of a prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float
from PIL import Image

from turpentine.core.imaging import as_seen

SIDE = 8
"""Pixels of a thumbnail's side: what is left of a picture is where which colour is."""

ALIKE = 0.02
"""Pictures that differ less, by their thumbnails, show the same: of the embedded model those of a work learnt by heart
differ by 0.01, those of a caption that names object, style and colour by 0.06."""

FALL = 0.25
"""The share of the unedited model's spread below which a prompt has lost its variety."""


def thumbnail(image: Image.Image) -> bytes:
    """Shrink a picture to SIDE x SIDE colours.

    Returns:
        A byte for each of red, green and blue, row by row.

    Example:
        >>> len(thumbnail(Image.new("RGB", (32, 32))))
        192
    """
    return as_seen(image).resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()


def spread(thumbnails: Sequence[bytes]) -> float | None:
    """Return the mean absolute difference of two thumbnails, 0 to 1, over all pairs; None for fewer than two.

    Example:
        >>> spread([bytes([0, 0, 0]), bytes([255, 255, 255])])
        1.0
    """
    n = len(thumbnails)
    if n < 2:
        return None
    pixels = np.frombuffer(b"".join(thumbnails), dtype=np.uint8).reshape(n, -1) / 255
    return float(_mean_difference(pixels).mean())


def collapse(rows: pl.DataFrame, unedited: pl.DataFrame | None = None) -> pl.DataFrame:
    """Measure how different the pictures of each prompt's seeds are.

    A prompt that was learnt by heart gives one picture for every seed and is not collapsed: with `unedited` a prompt
    counts as collapsed only if it had variety before.

    Args:
        rows: One model's rows, with prompt, seed and thumbnail; a picture may stand in several rows.
        unedited: The same of the model without the edit.

    Returns:
        A row for each prompt, in order: prompt; pictures; spread, 0 to 1, null for a single picture; spread_before,
        null
        without `unedited`; collapsed, null where that cannot be said.
    """
    spreads = _spreads(rows)
    if unedited is None:
        before = pl.lit(None, dtype=pl.Float64)
        return spreads.with_columns(before.alias("spread_before"), (pl.col("spread") < ALIKE).alias("collapsed"))
    unedited_spreads = _spreads(unedited).select("prompt", spread_before="spread")
    spreads = spreads.join(unedited_spreads, on="prompt", how="left", maintain_order="left")
    lost = (pl.col("spread") < ALIKE) & (pl.col("spread") < FALL * pl.col("spread_before"))
    return spreads.with_columns(lost.alias("collapsed"))


def _spreads(rows: pl.DataFrame) -> pl.DataFrame:
    pictures = rows.drop_nulls("thumbnail").unique(["prompt", "seed"], keep="first", maintain_order=True)
    parts = pictures.partition_by("prompt", as_dict=True, maintain_order=True)
    spreads = [(prompt, len(part), spread(part["thumbnail"].to_list())) for (prompt,), part in parts.items()]
    return pl.DataFrame(spreads, schema={"prompt": pl.String, "pictures": pl.Int64, "spread": pl.Float64}, orient="row")


def _mean_difference(pixels: Float[np.ndarray, "picture value"]) -> Float[np.ndarray, " value"]:
    """Gini's mean difference: the mean of |x_i − x_j| over pairs, from the sorted values in one pass."""
    n = len(pixels)
    signs = 2 * np.arange(n) - n + 1  # how often the k-th smallest is the larger of a pair, less how often the smaller
    return np.asarray(2 * signs @ np.sort(pixels, axis=0) / (n * (n - 1)))
