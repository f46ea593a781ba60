"""How an attack's pictures are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from turpentine.core.settings import Count, Finite, Fraction, Settings


@dataclass(frozen=True)
class Trial(Settings):
    """How an attack's pictures are drawn, those of its search and the new ones.

    Args:
        steps: As in `Model.generate`.
        guidance_scale: As in `Model.generate`.
        pictures: New pictures of the artefact.
        curve_pictures: New pictures of each earlier stage, for the curve of success against budget; never more than
            `pictures`.
        batch_size: Pictures at a time.
        original_rate: Where the original is given, the share of its plain pictures that must show the concept, for
            there to be something to bring back; 0 asks nothing.

    Example:
        >>> Trial(pictures=8).steps
        20
    """

    steps: Count = 20
    guidance_scale: Finite = 4.0
    pictures: Count = 20
    curve_pictures: Count = 8
    batch_size: Count = 20
    original_rate: Fraction = 0.5

    @property
    def drawing(self) -> dict[str, Any]:
        """The arguments of `Model.generate`."""
        return {"steps": self.steps, "guidance_scale": self.guidance_scale, "batch_size": self.batch_size}

    @property
    def facts(self) -> dict[str, Any]:
        """What of it decides an attack's numbers, as JSON has it."""
        return {**self.drawing, "pictures": self.pictures, "curve_pictures": self.curve_pictures}
