"""Prompts and seeds in pairs, and pairs in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from turpentine.core.errors import BadArgument
from turpentine.models.interface import Combination, TextToImage


def pair(prompts: str | Sequence[str], seeds: int | Sequence[int]) -> tuple[list[str], list[int]]:
    """Return prompts and seeds as lists of one length: a single one goes with each of the other.

    Raises:
        BadArgument: The lists are empty or of two lengths.

    Example:
        >>> pair("a church", [0, 1])
        (['a church', 'a church'], [0, 1])
    """
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    numbers = [seeds] if isinstance(seeds, int) else list(seeds)
    count = max(len(texts), len(numbers)) if texts and numbers else 0
    if count == 0 or {len(texts), len(numbers)} - {1, count}:
        raise BadArgument(
            f"{len(texts)} prompts and {len(numbers)} seeds do not pair up: give as many of each, or one of either."
        )
    return texts * (count // len(texts)), numbers * (count // len(numbers))


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
    """Check that a negative prompt is used by a guidance.

    Raises:
        BadArgument: The guidance has another prompt in its place.
    """
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
