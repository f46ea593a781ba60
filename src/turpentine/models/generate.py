"""Pictures of prompts, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.models.guidance import Combination, Guidance
from turpentine.models.model import Model, Size
from turpentine.models.sampler import sample
from turpentine.models.text import check_fits


def generate(
    model: Model,
    prompts: str | Sequence[str],
    seeds: int | Sequence[int],
    *,
    steps: int,
    guidance_scale: float,
    negative_prompt: str,
    solver: str,
    batch_size: int,
    size: Size | None,
    guidance: Guidance | None,
    progress: Progress | None,
) -> list[Image.Image]:
    """See `Model.generate`."""
    texts, numbers = pair(prompts, seeds)
    guidance = guidance or model.guidance
    if negative_prompt and guidance is not None:
        _check_used(negative_prompt, guidance.start(model, 1, guidance_scale, steps))
    uncond = model.encode([negative_prompt], size=size)
    pictures: list[Image.Image] = []
    for rows in batches(len(texts), batch_size):
        latents = model.noise(numbers[rows], size=size)
        cond = model.encode(texts[rows], size=size)
        for step in sample(
            model, cond, uncond, latents, steps=steps, guidance_scale=guidance_scale, solver=solver, guidance=guidance
        ):
            latents = step.x_next
            if progress:
                progress(len(pictures) * steps + len(cond) * (step.index + 1), len(texts) * steps)
        pictures += model.decode(latents)
    return pictures


def _check_used(negative_prompt: str, combination: Combination) -> None:
    if combination.extra is not None and not combination.needs_uncond:
        raise BadArgument(
            f"The negative prompt {negative_prompt!r} would do nothing, for the guidance has another one in its place: "
            "leave one of the two out."
        )


def pair(prompts: str | Sequence[str], seeds: int | Sequence[int]) -> tuple[list[str], list[int]]:
    """Prompts and seeds of one length: a single one goes with each of the other. Raises BadArgument."""
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    numbers = [seeds] if isinstance(seeds, int) else list(seeds)
    count = max(len(texts), len(numbers)) if texts and numbers else 0
    if count == 0 or {len(texts), len(numbers)} - {1, count}:
        raise BadArgument(
            f"{len(texts)} prompts and {len(numbers)} seeds do not pair up: give as many of each, or one of either."
        )
    return texts * (count // len(texts)), numbers * (count // len(numbers))


def fitting_pairs(
    model: Model, prompts: str | Sequence[str], seeds: int | Sequence[int]
) -> tuple[list[str], list[int]]:
    """As `pair`. Raises BadArgument also for a prompt that is longer than the model reads."""
    texts, numbers = pair(prompts, seeds)
    for text in dict.fromkeys(texts):
        check_fits(model.pipeline.tokenizer, text, model.tokens)
    return texts, numbers


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` rows that cover `count` rows. Raises BadArgument for a size under 1."""
    if size < 1:
        raise BadArgument(f"A batch of {size} holds nothing: give 1 or more.")
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
