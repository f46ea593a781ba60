"""A judge with a smooth score, so that small mistakes show."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from turpentine.judges.base import Column


class Brightness:
    """How bright a picture's upper rows are, and whether that is light or dark."""

    name, revision, settings, needs, download = "brightness", "1", None, frozenset(), None
    columns: ClassVar = {"brightness": Column(0.0, 255.0), "shade": Column(labels=("dark", "light"))}

    def __call__(self, images, *, prompts=None, references=None) -> pl.DataFrame:
        means = [float(np.asarray(image, dtype=np.float64)[:8].mean()) for image in images]
        return pl.DataFrame({"brightness": means, "shade": ["light" if m > 127 else "dark" for m in means]})
