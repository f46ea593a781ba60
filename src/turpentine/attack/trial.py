"""How an attack's pictures are drawn."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from turpentine.core.settings import Count, Finite, Fraction, Settings
from turpentine.models.drawing_defaults import DrawingSettings

if TYPE_CHECKING:
    from turpentine.models import Model

MOST_IN_A_TRIAL = 20
"""Pictures at a time where memory is no matter."""


@dataclass(frozen=True)
class Trial(DrawingSettings, Settings):
    """How an attack's pictures are drawn, those of its search and the new ones.

    By itself it has the steps and the guidance of the embedded worlds; `Trial.of` has those of a model's family.

    Args:
        steps: As in `Model.generate`.
        guidance_scale: As in `Model.generate`.
        pictures: New pictures of the artefact.
        curve_pictures: New pictures of each earlier stage, for the curve of success against budget; never more than
            `pictures`.
        batch_size: Pictures at a time; it decides memory and speed, how often a search looks where it is, and no more
            of a picture than the last bits. None for as many as fit into the free memory, 20 at most.
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
    batch_size: Count | None = None
    original_rate: Fraction = 0.5

    @property
    def at_once(self) -> int:
        """Pictures at a time: as given or settled, else the most."""
        return self.batch_size or MOST_IN_A_TRIAL

    @property
    def fields(self) -> dict[str, Any]:
        """All fields, with as many pictures at a time as there are; what is stored is known by them."""
        return {**asdict(self), "batch_size": self.at_once}

    def fitting(self, model: Model, cache: str | os.PathLike[str] | None = None) -> Trial:
        """Return a trial that says how many pictures are drawn at once: what is given, else what fits into memory.

        Args:
            model: What draws.
            cache: The folder of finished parts, which are known by it: one that was begun keeps its number.
        """
        from turpentine.core.parts import RECORDS, Parts
        from turpentine.models.row_memory import pictures_that_fit

        if self.batch_size is not None:
            return self
        about = ["pictures at a time", model.fingerprint] if cache is not None else None
        parts: Parts[int] = Parts(cache, about, RECORDS)
        return replace(self, batch_size=parts.part("trial", lambda: pictures_that_fit(model, MOST_IN_A_TRIAL)))

    @property
    def drawing(self) -> dict[str, Any]:
        """The arguments of `Model.generate`."""
        return {"steps": self.steps, "guidance_scale": self.guidance_scale, "batch_size": self.at_once}

    @property
    def facts(self) -> dict[str, Any]:
        """What of it decides an attack's numbers, as JSON has it."""
        return {**self.drawing, "pictures": self.pictures, "curve_pictures": self.curve_pictures}
