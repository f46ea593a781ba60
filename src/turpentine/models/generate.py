"""Prompts and seeds in pairs, and pairs in batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any

from turpentine.core.errors import BadArgument
from turpentine.models.guidance import Embedded
from turpentine.models.interface import Combination, TextToImage


def pair(prompts: str | Sequence[str], seeds: int | Sequence[int]) -> tuple[list[str], list[int]]:
    """Return prompts and seeds as lists of one length: a single one goes with each of the other.

    Raises:
        BadArgument: The lists are empty or of two lengths, a prompt is no text, or a seed no whole number from 0.

    Example:
        >>> pair("a church", [0, 1])
        (['a church', 'a church'], [0, 1])
    """
    texts = _texts(prompts)
    numbers = _seeds(seeds)
    count = max(len(texts), len(numbers)) if texts and numbers else 0
    if count == 0 or {len(texts), len(numbers)} - {1, count}:
        raise BadArgument(
            f"{len(texts)} prompts and {len(numbers)} seeds do not pair up: give as many of each, or one of either."
        )
    return texts * (count // len(texts)), numbers * (count // len(numbers))


def _texts(prompts: Any) -> list[str]:
    texts = [prompts] if isinstance(prompts, str) else list(prompts) if isinstance(prompts, Iterable) else [prompts]
    odd = next((text for text in texts if not isinstance(text, str)), None)
    if odd is not None or None in texts:
        raise BadArgument(f"The prompts hold {odd!r}, which is no text: give texts, such as 'a church'.")
    return texts


def _seeds(seeds: Any) -> list[int]:
    several = isinstance(seeds, Iterable) and not isinstance(seeds, str)
    numbers = list(seeds) if several else [seeds]
    for number in numbers:
        if not _is_whole(number) or not 0 <= number < 2**63:
            raise BadArgument(f"The seeds hold {number!r}: give whole numbers from 0, below 2 to the power of 63.")
    return [int(number) for number in numbers]


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def check_drawing(*, steps: Any, guidance_scale: Any, negative_prompt: Any, batch_size: Any) -> None:
    """Check the types of what says how pictures are drawn, before any work; ranges are the sampler's to check.

    Args:
        steps: Of the solver.
        guidance_scale: How strongly a prompt guides.
        negative_prompt: The text in the place of ∅.
        batch_size: Pictures in a call of the denoiser.

    Raises:
        BadArgument: A number is none or is not finite, or the negative prompt is no text.
    """
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if not _is_whole(value):
            raise BadArgument(f"The {name} is {value!r}: give a whole number, 1 or more.")
    is_number = isinstance(guidance_scale, Real) and not isinstance(guidance_scale, bool)
    if not is_number or not math.isfinite(guidance_scale):
        raise BadArgument(f"The guidance_scale is {guidance_scale!r}: give a finite number, such as 4.0.")
    if not isinstance(negative_prompt, str):
        raise BadArgument(f"The negative_prompt is {negative_prompt!r}: give one text, for all pictures.")


def check_size(size: Any) -> tuple[int, int]:
    """Return height and width of a size as people give it.

    Raises:
        BadArgument: It is neither a whole number nor two.
    """
    sides = [size, size] if _is_whole(size) else list(size) if isinstance(size, Iterable) else []
    if len(sides) != 2 or not all(map(_is_whole, sides)):
        raise BadArgument(f"The size is {size!r}: give a whole number of pixels, or two, height and width.")
    return int(sides[0]), int(sides[1])


def fitting_pairs(
    model: TextToImage, prompts: str | Sequence[str], seeds: int | Sequence[int]
) -> tuple[list[str], list[int]]:
    """Return prompts and seeds as `pair` does, checking that each prompt fits into the model.

    Raises:
        BadArgument: The lists do not pair up, or a prompt is longer than the model reads.
    """
    texts, numbers = pair(prompts, seeds)
    for text in dict.fromkeys(texts):
        model.text.check_fits(text)
    return texts, numbers


def check_used(negative_prompt: str, combination: Combination) -> None:
    """Check that a negative prompt is used.

    Raises:
        BadArgument: The guidance has another prompt in its place, or the denoiser computes guidance itself.
    """
    if isinstance(combination, Embedded):
        raise BadArgument(
            f"The negative prompt {negative_prompt!r} would do nothing, for this model computes guidance itself: leave "
            "it out, or give guidance=TrueGuidance()."
        )
    if combination.extra is not None and not combination.needs_uncond:
        raise BadArgument(
            f"The negative prompt {negative_prompt!r} would do nothing, for the guidance has another one in its place: "
            "leave one of the two out."
        )


def batches(count: int, size: int) -> Iterator[slice]:
    """Yield slices of at most `size` rows that cover `count` rows.

    Raises:
        BadArgument: `size` is under 1.

    Example:
        >>> list(batches(5, 2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    if size < 1:
        raise BadArgument(f"A batch of {size} holds nothing: give 1 or more.")
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
