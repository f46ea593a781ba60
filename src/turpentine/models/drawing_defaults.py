"""How many steps and how much guidance a picture takes where nobody says: one answer for all that draws."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

if TYPE_CHECKING:
    from turpentine.models.model import Model

WORLD_DRAWING = (20, 4.0)
"""Of models whose pictures are as small as the embedded worlds'."""

S = TypeVar("S")
T = TypeVar("T", bound="DrawingSettings")


class DrawingArguments(TypedDict):
    """What a picture is drawn with, as arguments of `Model.generate` and of the samplers."""

    steps: int
    guidance_scale: float


def is_small(model: Model) -> bool:
    """Return whether a model's pictures are as small as the embedded worlds', whose steps and guidance it then has."""
    from turpentine.emoji.world import SIZE

    return max(model.size) <= 2 * SIZE  # the larger world's pictures have twice the pixels to a side


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
    own = WORLD_DRAWING if is_small(model) else model.family.drawing
    return own[0] if steps is None else steps, own[1] if guidance_scale is None else guidance_scale


def drawing_of(settings: Any, model: Model) -> DrawingArguments:
    """Return the steps and the guidance scale that settings have on a model: the family's own where they are None.

    Args:
        settings: With `steps` and `guidance_scale`, such as an instrument.
        model: What draws.

    Example:
        >>> from turpentine.explain import Maps
        >>> drawing_of(Maps(steps=2), model)
        {'steps': 2, 'guidance_scale': 4.0}
    """
    steps, scale = steps_and_guidance(model, settings.steps, settings.guidance_scale)
    return {"steps": steps, "guidance_scale": scale}


def with_drawing(settings: S, model: Model) -> S:
    """Return settings with their steps and guidance scale as numbers; what is stored is known by these.

    Args:
        settings: A dataclass; without `steps` and `guidance_scale`, or with numbers, it stays.
        model: What draws.
    """
    own = [name for name in ("steps", "guidance_scale") if getattr(settings, name, "") is None]
    if not own:
        return settings
    drawing: dict[str, Any] = {**drawing_of(settings, model)}
    changed: S = replace(settings, **{name: drawing[name] for name in own})  # type: ignore[type-var]
    return changed


class DrawingSettings:
    """Settings with `steps` and `guidance_scale` that can be those of a model's family."""

    @classmethod
    def of(
        cls: type[T],
        model: Model,
        *,
        steps: int | None = None,
        guidance_scale: float | None = None,
        **fields: Any,
    ) -> T:
        """Return the settings for a model: its family's steps and guidance where none are given.

        Args:
            model: What draws.
            steps: None for the family's; see `steps_and_guidance`.
            guidance_scale: None for the family's.
            fields: The others.

        Example:
            >>> from turpentine.runs.protocol import Protocol
            >>> Protocol.of(model, guidance_scale=7.5).steps
            20
        """
        drawing = zip(("steps", "guidance_scale"), steps_and_guidance(model, steps, guidance_scale), strict=True)
        return cls(**dict(drawing), **fields)
