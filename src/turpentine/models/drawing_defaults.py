"""How many steps and how much guidance a picture takes where nobody says: one answer for all that draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from turpentine.emoji.world import SIZE

if TYPE_CHECKING:
    from turpentine.models.model import Model

WORLD_DRAWING = (20, 4.0)
"""Of models whose pictures are as small as the embedded worlds'."""

WORLD_SIDE = 2 * SIZE
"""Pixels to a side of the larger world's pictures."""


def steps_and_guidance(
    model: Model, steps: int | None = None, guidance_scale: float | None = None
) -> tuple[int, float]:
    """Return the steps and the guidance scale of a picture: as given, else the family's own; see `Family.drawing`.

    Args:
        model: What draws. One whose pictures are as small as the embedded worlds' takes 20 steps and 4.
        steps: Of the solver, None for the default.
        guidance_scale: w, None for the default.

    Example:
        >>> steps_and_guidance(model), steps_and_guidance(model, 50), steps_and_guidance(model, guidance_scale=7.5)
        ((20, 4.0), (50, 4.0), (20, 7.5))
    """
    own = WORLD_DRAWING if max(model.size) <= WORLD_SIDE else model.family.drawing
    return own[0] if steps is None else steps, own[1] if guidance_scale is None else guidance_scale
