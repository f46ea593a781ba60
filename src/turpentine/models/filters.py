"""Filters: what stands before a model and refuses prompts, or behind it and withholds pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from PIL import Image

from turpentine.models.interface import Combination, Guidance, TextToImage


@runtime_checkable
class Filter(Protocol):
    """A guidance that changes no prediction, but lets not every prompt and every picture through."""

    def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Combination:
        """Begin a run, which is as it would be without the filter."""
        ...

    def refuses(self, prompts: Sequence[str]) -> list[bool]:
        """Return for each prompt whether nothing is drawn of it."""
        ...

    def withholds(self, pictures: Sequence[Image.Image]) -> list[bool]:
        """Return for each picture whether it is not shown."""
        ...


def filters_of(guidance: Guidance | None) -> tuple[Filter, ...]:
    """Return the filters of a guidance: itself, or those among several that are on a model."""
    return (guidance,) if isinstance(guidance, Filter) else tuple(getattr(guidance, "filters", ()))


def steers(guidance: Guidance | None) -> bool:
    """Return whether a guidance changes what is predicted, which filters do not."""
    if guidance is None or isinstance(guidance, Filter):
        return False
    changes = getattr(guidance, "changes", None)
    return changes is None or any(steers(change.guidance) for change in changes)


class Screen:
    """The filters of one call of `generate`: a black picture stands for each that does not come through.

    All pictures of a batch are drawn where one is, so that those that come through are the same, bit by bit, as without
    a filter.

    Args:
        guidance: On the model, or given to the call.
        prompts: Of all pictures.
    """

    def __init__(self, guidance: Guidance | None, prompts: Sequence[str]) -> None:
        self._filters = filters_of(guidance)
        unique = list(dict.fromkeys(prompts))
        refused = {text for one in self._filters for text, no in zip(unique, one.refuses(unique), strict=True) if no}
        self._refused = [prompt in refused for prompt in prompts]

    def stops(self, rows: slice) -> bool:
        """Return whether no prompt of a batch comes through."""
        return all(self._refused[rows])

    def screened(self, rows: slice, pictures: Sequence[Image.Image]) -> list[Image.Image]:
        """Return the pictures of a batch, those black that do not come through."""
        withheld = [one.withholds(pictures) for one in self._filters]
        black = [any(each) for each in zip(self._refused[rows], *withheld, strict=True)]
        return [blocked(picture.size) if no else picture for picture, no in zip(pictures, black, strict=True)]


def blocked(size: tuple[int, int]) -> Image.Image:
    """Return what is shown in the place of a picture that does not come through: black, of this width and height."""
    return Image.new("RGB", size)


def is_blocked(picture: Image.Image) -> bool:
    """Return whether a picture is what a filter leaves.

    Example:
        >>> is_blocked(blocked((4, 4))), is_blocked(Image.new("RGB", (4, 4), "white"))
        (True, False)
    """
    return picture.getbbox() is None
