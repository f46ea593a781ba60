"""How an attack's pictures are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turpentine.core.settings import Count, Finite, Fraction, Settings

if TYPE_CHECKING:
    from turpentine.models import Model


@dataclass(frozen=True)
class Trial(Settings):
    """How an attack's pictures are drawn, those of its search and the new ones.

    By itself it has the steps and the guidance of the embedded worlds; `Trial.of` has those of a model's family.

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

    @classmethod
    def of(cls, model: Model, *, steps: int | None = None, guidance_scale: float | None = None, **fields: Any) -> Trial:
        """Return a trial for a model: its family's steps and guidance where none are given.

        Args:
            model: What draws.
            steps: None for the family's; see `turpentine.models.steps_and_guidance`.
            guidance_scale: None for the family's.
            fields: The others.

        Example:
            >>> Trial.of(model, pictures=8).guidance_scale
            4.0
        """
        from turpentine.models import steps_and_guidance

        steps, guidance_scale = steps_and_guidance(model, steps, guidance_scale)
        return cls(steps=steps, guidance_scale=guidance_scale, **fields)

    @property
    def drawing(self) -> dict[str, Any]:
        """The arguments of `Model.generate`."""
        return {"steps": self.steps, "guidance_scale": self.guidance_scale, "batch_size": self.batch_size}

    @property
    def facts(self) -> dict[str, Any]:
        """What of it decides an attack's numbers, as JSON has it."""
        return {**self.drawing, "pictures": self.pictures, "curve_pictures": self.curve_pictures}
