"""ConceptAttention (Helbling 2025): where in the picture each concept is, by what joint attention gives for both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Settings, Share
from turpentine.explain._codes import modules_called
from turpentine.explain._map_sums import enlarged
from turpentine.explain._masks import Heat, Rule
from turpentine.explain.maps_finding import MapsFinding, table_of
from turpentine.models.attention import grid
from turpentine.models.concept_stream import ConceptStream, concept_blocks
from turpentine.models.drawing_defaults import drawing_of
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import hooked
from turpentine.models.interface import Size
from turpentine.models.model import Model
from turpentine.models.sampler import denoised
from turpentine.models.sites import Site, Sites
from turpentine.models.text import bare, words_of

_LAST = 5
"""One block in so many is the published share: the last four of FLUX.1's 19 double blocks."""


@dataclass(frozen=True)
class ConceptAttention(Settings):
    """Show where in the picture concepts are, of which the prompt need not speak (ConceptAttention).

    Each concept's tokens go through the joint blocks beside the picture, by the weights of the text, and leave it as it
    is. With o_x what the attention of a block gives for the picture's token x, and o_c for the concept c, heads side by
    side, the map of c is the softmax over the concepts of ⟨o_x, o_c⟩, the mean over blocks and steps. Helbling et al.
    2025 (arXiv 2502.04320). A concept of several tokens is their mean. Where a model reads T5, the concept is read by
    it, else by CLIP.

    Args:
        words: The concepts, two or more, since the maps are shares of each pixel; by default each prompt's own words.
        sites: Attention of joint blocks with weights of the text's own: labels with commas between, or a selection; by
            default the last fifth of them, as published.
        threshold: The share (τ) from which on a pixel belongs to the concept.
        rule: What that is a share of: "range", the way from the map's smallest value to its largest; or "maximum".
        steps: Euler steps of a picture.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        batch_size: Pictures drawn at once.
    """

    name: ClassVar[str] = "concept-attention"
    example_flags: ClassVar[str] = "--model emoji-mmdit"
    words: tuple[str, ...] = ()
    sites: str | Sites | None = None
    threshold: Share = 0.4
    rule: Rule = "range"
    steps: Count | None = None
    guidance_scale: Finite | None = None
    batch_size: Count = 8

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int] = range(1),
        *,
        concept: str | None = None,
        size: Size | None = None,
        progress: Progress | None = None,
    ) -> MapsFinding:
        """Map the concepts of pictures of any size.

        Args:
            model: The model.
            prompts: What to draw; pair up with the seeds as in `Model.generate`.
            seeds: Of the pictures.
            concept: The concept that the question is about, one of the words or beside them.
            size: Of the pictures in pixels, a side or height and width; the model's own by default.
            progress: Called with pictures done and in all.

        Raises:
            BadArgument: A prompt that is too long, or fewer than two concepts.
            EmptyConcept: A concept that the tokenizer has no token for.
            UnsupportedModel: The model has no joint attention.
        """
        blocks = self.blocks(model)
        texts, numbers = fitting_pairs(model, prompts, seeds)
        heats: list[dict[str, Heat]] = []
        images: list[Image.Image] = []
        for start, stop in _alike(texts):
            words = self._names(texts[start], concept)
            for some in batches(stop - start, self.batch_size):
                rows = slice(start + some.start, start + some.stop)
                maps, latents = self._mapped(model, blocks, texts[rows], numbers[rows], words, size)
                heats += [dict(zip(words, each.numpy(), strict=True)) for each in maps]
                images += model.decode(latents)
                if progress:
                    progress(rows.stop, len(texts))
        table = table_of(texts, numbers, heats, images, self.threshold, self.rule)
        title = "Where concepts are"
        return MapsFinding(table, model.sites, title, heats, images, self.threshold, self.rule, concept)

    def blocks(self, model: Model) -> Sites:
        """Return the attention of the blocks whose maps count."""
        every = concept_blocks(model)
        if self.sites is None:
            count = math.ceil(len(every) / _LAST)
            return model.sites.named([site.name for site in every][-count:])
        chosen = modules_called(every, self.sites) if isinstance(self.sites, str) else self.sites & every
        if not chosen:
            raise BadArgument(f"{chosen} holds no joint block with weights of the text's own: leave sites out.")
        return chosen

    def _names(self, text: str, concept: str | None) -> list[str]:
        words = [bare(word) for word in self.words or words_of(text)]
        words = list(dict.fromkeys([*words, concept] if concept else words))
        if len(words) < 2:
            raise BadArgument(f"The maps of concepts are shares of each pixel: give two or more words, not {words}.")
        return words

    def _mapped(
        self,
        model: Model,
        blocks: Sites,
        texts: Sequence[str],
        seeds: Sequence[int],
        words: Sequence[str],
        size: Size | None,
    ) -> tuple[Float[Tensor, "picture concept height width"], Tensor]:
        """Return the maps of a batch, and its latents."""
        latents = model.noise(seeds, size=size)
        (height, width), drawing = latents.shape[-2:], drawing_of(self, model)
        total = torch.zeros(len(latents), len(words), height, width, device=latents.device)

        def add(site: Site, of_picture: Tensor, of_concepts: Tensor) -> None:
            if site in blocks:
                shares = (of_picture.float() @ of_concepts.float().transpose(1, 2)).softmax(dim=-1)
                small = shares.transpose(1, 2).reshape(*total.shape[:2], *grid(shares.shape[1], height, width))
                total.add_(enlarged(small, height, width))

        after, before = ConceptStream(model, concept_states(model, words), add).hooks()
        cond, empty = model.encode(texts, size=size), model.encode([""], size=size)
        with hooked(model, after, before=before):
            latents = denoised(model, cond, empty, latents, **drawing)
        return (total / (drawing["steps"] * len(blocks))).cpu(), latents


@torch.no_grad()
def concept_states(model: Model, words: Sequence[str]) -> Float[Tensor, "concept width"]:
    """Return what the denoiser would read of each word alone, the mean over its tokens.

    Raises:
        EmptyConcept: The tokenizer has no token for a word.
    """
    reading = [each for each in model.readings if each.what == "hidden"][-1]
    states = reading.states(model, model.encode(words))
    means = []
    for word, own in zip(words, states, strict=True):
        try:
            means.append(own[list(reading.find(word, word).subject)].mean(dim=0))
        except EmptyConcept:
            raise EmptyConcept(f"The model has no token for the concept {word!r}: give another word.") from None
    return torch.stack(means)


def _alike(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Return where runs of one prompt start and stop."""
    starts = [index for index, text in enumerate(texts) if not index or text != texts[index - 1]]
    return list(zip(starts, [*starts[1:], len(texts)], strict=True))
