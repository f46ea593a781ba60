"""Generated pictures as a list that shows them in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image

from turpentine.core import notebook

_MOST = 32
"""Pictures that a notebook shows: each is part of the notebook's file."""


class GeneratedPictures(list[Image.Image]):
    """Pictures in a list, with the prompt and the seed of each for its caption in a notebook.

    Args:
        images: The pictures.
        prompts: One for each.
        seeds: One for each.

    Example:
        >>> pictures = model.generate(["a church", "a dog"], seeds=[0, 1], steps=1)
        >>> len(pictures), pictures.captions
        (2, ['a church, seed 0', 'a dog, seed 1'])
    """

    def __init__(self, images: Iterable[Image.Image], prompts: Sequence[str], seeds: Sequence[int]) -> None:
        super().__init__(images)
        self.captions = [f"{prompt}, seed {seed}" for prompt, seed in zip(prompts, seeds, strict=True)]

    def _repr_html_(self) -> str:
        captions = [*self.captions, *([""] * len(self))][: len(self)]  # a list may have grown
        more = notebook.paragraph(f"... {len(self) - _MOST} more") if len(self) > _MOST else ""
        return notebook.pictures(self[:_MOST], captions[:_MOST]) + more
