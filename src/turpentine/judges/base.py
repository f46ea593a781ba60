"""What every judge is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import polars as pl
from PIL import Image


@runtime_checkable
class Judge(Protocol):
    """Turns pictures into a table of scores, a row for each picture and in their order.

    Two scores may stand in one table only if name, revision and settings are the same for both.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def revision(self) -> str:
        """Which one it is: a text that differs whenever the code or the weights could give another answer."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What its answers can be and what decides them, such as labels and thresholds, as JSON has them."""
        ...

    def __call__(self, images: Sequence[Image.Image]) -> pl.DataFrame:
        """The scores; columns are the judge's own, and the same for no picture as for many."""
        ...
