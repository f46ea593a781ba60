"""Pictures of a concept: given, generated, or drawn by the emoji world."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from turpentine.concepts import Concept
from turpentine.core.atomic_files import one_line
from turpentine.core.errors import BadArgument
from turpentine.models import ClassifierFree, Model

if TYPE_CHECKING:
    from turpentine.emoji.judge_network import JudgeNet

Source = Literal["generated", "world"]

_DRAWN = ("object", "style", "colour")
"""The kinds of concept that the emoji world draws and its judge names."""


def from_files(paths: Iterable[str]) -> list[Image.Image]:
    """The pictures at some paths. Raises BadArgument, naming the file that is none."""
    return [_opened(path) for path in paths]


def fitted(images: Sequence[Image.Image], size: tuple[int, int]) -> list[Image.Image]:
    """Pictures brought to one size, height and width in pixels; what does not fit is cut off, evenly at both ends."""
    return [ImageOps.fit(image.convert("RGB"), size[::-1], Image.Resampling.LANCZOS) for image in images]


def from_model(
    model: Model, prompts: Sequence[str], seeds: Sequence[int], steps: int, guidance_scale: float
) -> list[Image.Image]:
    """What the model makes of prompts, a seed each, whatever guidance is on it."""
    return model.generate(prompts, seeds=seeds, steps=steps, guidance_scale=guidance_scale, guidance=ClassifierFree())


def from_world(concept: Concept, count: int, seed: int, size: int) -> list[Image.Image]:
    """Pictures of the emoji world that show an object, style or background, and that its judge gets right.

    size: their side in pixels. Raises BadArgument where the judge gets too few right.
    """
    from turpentine.emoji.judge_network import load_judge  # only here is the world needed

    judge, rng = load_judge(), np.random.default_rng(seed)
    drawn = _draw(concept, 20 * count, rng, size)
    right = list(islice((image for image in drawn if _says(judge, image, concept)), count))
    if len(right) < count:
        raise BadArgument(
            f"The judge recognises {concept.text!r} in {len(right)} of {20 * count} pictures: give images."
        )
    return right


def check_source(source: str, concepts: Iterable[Concept]) -> None:
    """Raise BadArgument for a source that is none, and for concepts that the emoji world cannot draw."""
    if source not in get_args(Source):
        raise BadArgument(f"source is {source!r}: choose one of {', '.join(get_args(Source))}.")
    for concept in concepts:
        if source == "world" and concept.text not in _answers(concept):
            what = f"{concept.kind} {concept.text!r}"
            raise BadArgument(f"The emoji world has no {what} to draw: give images, or the source 'generated'.")


def _opened(path: str) -> Image.Image:
    try:
        return Image.open(path).convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BadArgument(f"{one_line(path)} is no picture that can be read: give PNG or JPEG files.") from error


def _answers(concept: Concept) -> tuple[str, ...]:
    """What the judge can say of such a concept, in its own order."""
    from turpentine.emoji.judge_network import ANSWERS

    return ANSWERS[concept.kind] if concept.kind in _DRAWN else ()


def _draw(concept: Concept, count: int, rng: np.random.Generator, size: int) -> Iterator[Image.Image]:
    """Objects, styles and backgrounds that go together and show the concept, evenly drawn."""
    from turpentine.emoji.captions import single_picture
    from turpentine.emoji.world import OBJECTS, render, styles_of, visible_on

    place = _DRAWN.index(concept.kind)
    every = [(obj, style, colour) for obj in OBJECTS for style in styles_of(obj) for colour in visible_on(obj, style)]
    fitting = [seen for seen in every if seen[place] == concept.text]
    for _ in range(count):
        seen = fitting[int(rng.integers(len(fitting)))]
        yield Image.fromarray(render(single_picture(rng, *seen), size))


def _says(judge: JudgeNet, image: Image.Image, concept: Concept) -> bool:
    best = int(judge.probabilities([image])[concept.kind].argmax())
    return _answers(concept)[best] == concept.text
