"""Attention maps (DAAM, Tang 2022): where in the picture each word of the prompt was looked at while it was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Settings, Share
from turpentine.explain._codes import modules_called
from turpentine.explain._map_sums import ALL, MapSums, Per
from turpentine.explain._masks import Heat, Rule
from turpentine.explain.maps_finding import MapsFinding, table_of
from turpentine.explain.stops import Stop, TourInputs
from turpentine.models.drawing_defaults import drawing_of
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import hooked
from turpentine.models.interface import Size
from turpentine.models.model import Model
from turpentine.models.sampler import denoised
from turpentine.models.sites import READS_TEXT, Sites
from turpentine.models.text import bare, words_of

Places: TypeAlias = list[range]
"""The tokens of a word, for each place where it is."""


@dataclass(frozen=True)
class Maps(Settings):
    """Show where in the picture each word of the prompt was looked at while it was drawn (DAAM).

    The maps are the probabilities of cross-attention, summed over modules and steps, of the prompt's rows alone. Words
    of several tokens are one map; a word that is there several times has one map, the sum over its places (Tang 2022).

    Args:
        words: Words of the prompts, capitals and punctuation around them apart; every word by default.
        sites: Modules of cross-attention, or of joint attention: labels, or LOWRES or HIGHRES, with commas between, or
            a selection, with a window for some of the steps; all by default, the mid block and the lowest resolution
            among them.
        threshold: The share (τ) from which on a pixel belongs to the word.
        rule: What that is a share of: "range", the way from the map's smallest value to its largest, as in the authors'
            code; or "maximum", the largest value alone, as the paper has it, which takes nearly the whole picture
            where no value is small, as over all modules of the embedded model.
        per: What else maps are summed over, each part apart: the "module", the "factor" by which its grid is coarser
            than the latents', or the "head"; the table then has their rows too, and the finding's `of` their maps.
        steps: DDIM steps of a picture; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        batch_size: Pictures drawn at once.

    Example:
        >>> finding = Maps(steps=2)(model, "a church")
        >>> finding.table["word"].to_list()
        ['a', 'church']
    """

    name: ClassVar[str] = "maps"
    words: tuple[str, ...] = ()
    sites: str | Sites | None = None
    threshold: Share = 0.4
    rule: Rule = "range"
    per: Per = ALL
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
        """Map the words of pictures of any size.

        Probabilities are computed some heads at a time, and only their sums are stored: for each picture a map of the
        latents' size for each token.

        Args:
            model: The model.
            prompts: What to draw; pair up with the seeds as in `Model.generate`.
            seeds: Of the pictures.
            concept: Words of the prompts that the question is about: they are one map.
            size: Of the pictures in pixels, a side or height and width; the model's own by default.
            progress: Called with pictures done and in all.

        Raises:
            BadArgument: A prompt that is too long or has no word.
            EmptyConcept: A word or concept that is not in a prompt.
        """
        texts, numbers = fitting_pairs(model, prompts, seeds)
        words = [self._places(model, text, concept) for text in texts]
        wordless = next((text for text, places in zip(texts, words, strict=True) if not places), None)
        if wordless is not None:
            raise BadArgument(f"The prompt {wordless!r} has no word to map: write one there.")
        modules = self._modules(model)
        parts: dict[str, list[dict[str, Heat]]] = {}
        images: list[Image.Image] = []
        for rows in batches(len(texts), self.batch_size):
            maps, latents = self._mapped(model, modules, texts[rows], numbers[rows], words[rows], size)
            for part, heats in maps.items():
                parts.setdefault(part, []).extend(heats)
            images += model.decode(latents)
            if progress:
                progress(rows.stop, len(texts))
        how = (images, self.threshold, self.rule)
        tables = {part: table_of(texts, numbers, heats, *how) for part, heats in parts.items()}
        table = tables[ALL] if self.per == ALL else pl.concat([_of_part(part, each) for part, each in tables.items()])
        unread = [word for word in self._names(texts, concept) if not any(word in places for places in words)]
        title = "Where words were looked at"
        return MapsFinding(
            table, model.sites, title, parts[ALL], images, self.threshold, self.rule, concept, tuple(unread), parts
        )

    def _modules(self, model: Model) -> Sites:
        modules = model.sites.only(kind=READS_TEXT, level="module")
        return modules_called(modules, self.sites) if isinstance(self.sites, str) else self.sites or modules

    def _mapped(
        self,
        model: Model,
        modules: Sites,
        texts: Sequence[str],
        seeds: Sequence[int],
        words: Sequence[Mapping[str, Places]],
        size: Size | None,
    ) -> tuple[dict[str, list[dict[str, Heat]]], Tensor]:
        """Return the maps of a batch by part, and its latents."""
        latents = model.noise(seeds, size=size)
        tokens = sorted({token for places in words for at in places.values() for part in at for token in part})
        sums = MapSums(model, latents, tokens, self.per)
        cond, empty = model.encode(texts, size=size), model.encode([""], size=size)
        with hooked(model, {modules: sums.add}):
            latents = denoised(model, cond, empty, latents, **drawing_of(self, model))
        return {part: _by_word(total.numpy(), tokens, words) for part, total in sums.maps().items()}, latents

    def _places(self, model: Model, text: str, concept: str | None) -> dict[str, Places]:
        """Return the words of a prompt that are mapped, and their tokens; a word without a token is left out."""
        places: dict[str, Places] = {}
        for word in self._names([text], concept):
            try:
                places[word] = model.text.find_all(text, bare(word))
            except EmptyConcept:
                if self.words or word == concept:
                    raise
        return places

    def _names(self, texts: Sequence[str], concept: str | None) -> list[str]:
        """Return the words without their punctuation, the concept as one of them."""
        own = {word.lower() for word in words_of(concept or "")}
        each = self.words or [word for text in texts for word in words_of(text)]
        joined = [concept if concept and word.lower() in own else word for word in each]
        return list(dict.fromkeys([*joined, concept] if concept else joined))

    @classmethod
    def stops(cls, tour: TourInputs) -> list[Stop]:
        """Map every word of the tour's prompt, the concept as one of them."""
        instrument = cls(batch_size=min(cls.batch_size, tour.batch_size), **tour.drawing)

        def run(_: object, progress: Progress | None) -> MapsFinding:
            return instrument(tour.model, tour.prompts, tour.seeds, concept=tour.concept, progress=progress)

        return [Stop("maps", "Where is each word looked at?", 20, tour.rows_to_draw, instrument, run)]


def _by_word(
    maps: Float[np.ndarray, "picture token height width"], tokens: Sequence[int], words: Sequence[Mapping[str, Places]]
) -> list[dict[str, Heat]]:
    """Return for each picture each word's map."""
    heats = []
    for each, places in zip(maps, words, strict=True):
        by_token = dict(zip(tokens, each, strict=True))
        heats.append({word: _of_places(by_token, at) for word, at in places.items()})
    return heats


def _of_places(by_token: dict[int, Heat], places: Sequence[range]) -> Heat:
    """Return the mean over the tokens of a place (DAAM), summed over the places."""
    total: Heat = np.sum([np.mean([by_token[token] for token in place], axis=0) for place in places], axis=0)
    return total


def _of_part(part: str, table: pl.DataFrame) -> pl.DataFrame:
    return table.insert_column(table.columns.index("word") + 1, pl.lit(part).alias("part"))
