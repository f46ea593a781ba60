"""How far the pixels of a picture are from the unedited model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl
from jaxtyping import Float
from PIL import Image

from turpentine.core.imaging import as_seen
from turpentine.judges.base import Column, one_for_each


@dataclass(frozen=True)
class PixelChange:
    """The mean absolute difference of a picture's pixels from the unedited model's picture, 0 to 1.

    Over pixels and channels, of the same prompt, seed and settings; it says how much moved, and not whether that is
    good or bad.

    Example:
        >>> black, white = (Image.new("RGB", (2, 2), colour) for colour in ("black", "white"))
        >>> PixelChange()([white, black], references=[black, black])["moved"].to_list()
        [1.0, 0.0]
    """

    name: ClassVar[str] = "pixel change"
    revision: ClassVar[str] = "1"
    needs: ClassVar[frozenset[str]] = frozenset({"reference"})
    download: ClassVar[None] = None
    columns: ClassVar[Mapping[str, Column]] = {"moved": Column(0.0, 1.0)}
    settings: ClassVar[Mapping[str, Any]] = {}

    def __call__(
        self,
        images: Sequence[Image.Image],
        *,
        prompts: Sequence[str] | None = None,
        references: Sequence[Image.Image] | None = None,
    ) -> pl.DataFrame:
        """Compare each picture with its reference.

        Args:
            images: Pictures of the edited model.
            prompts: Not used.
            references: The unedited model's picture for each, of the same size.

        Returns:
            A row for each picture, with the column `moved`.

        Raises:
            BadArgument: There is not one reference for each picture.
        """
        unedited = one_for_each(self.name, "reference", references, images)
        distances = [_distance(*pair) for pair in zip(images, unedited, strict=True)]
        return pl.DataFrame({"moved": distances}, schema={"moved": pl.Float64})


def _distance(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(_pixels(a) - _pixels(b)).mean())


def _pixels(image: Image.Image) -> Float[np.ndarray, "height width 3"]:
    return np.asarray(as_seen(image), dtype=np.float32) / 255
