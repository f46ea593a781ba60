"""Attention maps (DAAM, Tang 2022): where in the picture each word of the prompt was looked at while it was drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument, EmptyConcept, UnknownName
from turpentine.core.formatting import percent
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Settings, Share
from turpentine.explain._codes import modules_called
from turpentine.explain._image_stats import foreground, overlap
from turpentine.explain._map_sums import ALL, MapSums, Per
from turpentine.explain._masks import SCORES, Heat, Mask, Rule, agreement, enlarge, mask_of
from turpentine.explain._plots import hide_axes, new_figure
from turpentine.explain.finding import Finding
from turpentine.explain.stops import Stop, TourInputs
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.hooks import hooked
from turpentine.models.interface import Size
from turpentine.models.model import Model
from turpentine.models.sampler import sample
from turpentine.models.sites import READS_TEXT, Sites
from turpentine.models.text import bare, words_of
from turpentine.stats.intervals import mean_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
        steps: DDIM steps of a picture.
        guidance_scale: How strongly the prompt guides (w).
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
    steps: Count = 20
    guidance_scale: Finite = 4.0
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
        tables = {part: _table(texts, numbers, heats, images, self) for part, heats in parts.items()}
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
            for step in sample(model, cond, empty, latents, steps=self.steps, guidance_scale=self.guidance_scale):
                latents = step.x_next
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


@dataclass(frozen=True, eq=False)
class MapsFinding(Finding):
    """The maps of words.

    Args:
        table: A row for each picture and word: prompt, seed, word, mass (the word's share of all words' sums), and
            iou, auc and hit against what stands out from the picture's background (see `against`); where maps are
            taken apart also the part, of which "all" is the first.
        heats: For each picture each word's map, of the latents' size, as summed.
        images: The pictures.
        threshold: τ.
        rule: What τ is a share of.
        concept: The word or words that the summary is about.
        unread: Words of the prompts that have no token, and so no map.
        parts: The maps as `heats`, by part, in order of execution; "all" is `heats` itself.
    """

    heats: list[dict[str, Heat]]
    images: list[Image.Image]
    threshold: float
    rule: Rule = "range"
    concept: str | None = None
    unread: tuple[str, ...] = ()
    parts: Mapping[str, list[dict[str, Heat]]] = field(default_factory=dict)

    def of(self, part: str) -> MapsFinding:
        """Return the finding of one part alone, such as "UP6", "÷2" or "UP6 H3".

        Raises:
            UnknownName: There is no such part; the message lists those that there are.
        """
        if part not in self.parts:
            raise UnknownName(f"No part is called {part!r}: there are {', '.join(self.parts)}.")
        table = self.table.filter(pl.col("part") == part).drop("part") if "part" in self.table.columns else self.table
        return replace(self, table=table, title=f"{self.title}: {part}", heats=self.parts[part], parts={})

    def mask(self, picture: int, word: str) -> Mask:
        """Return the word's mask on a picture."""
        return mask_of(self.heats[picture][word], self.images[picture], self.threshold, self.rule)

    def against(self, masks: Sequence[Mask]) -> pl.DataFrame:
        """Return how well each word's map shows what is where a mask says, one for each picture and of its size.

        Columns: picture, word, iou (overlap of the word's mask with that one), auc (how often a pixel inside is looked
        at more than one outside, 0.5 by chance), hit (whether the most looked at is inside: the pointing game); the
        last two are null for a mask that is nothing or everything.

        Raises:
            BadArgument: There is not one mask for each picture.
        """
        if len(masks) != len(self.images):
            raise BadArgument(f"{len(masks)} masks are not one for each of {len(self.images)} pictures.")
        settings = self.threshold, self.rule
        rows = [
            (picture, word, *agreement(heat, image, mask, *settings))
            for picture, (heats, image, mask) in enumerate(zip(self.heats, self.images, masks, strict=True))
            for word, heat in heats.items()
        ]
        return pl.DataFrame(rows, {"picture": pl.Int64, "word": pl.String} | SCORES, orient="row")

    def of_pictures(self, pictures: Sequence[int]) -> MapsFinding:
        """Return the finding with the maps and images of some pictures alone, as for a plot; its table is of all."""
        heats, images = [self.heats[picture] for picture in pictures], [self.images[picture] for picture in pictures]
        return replace(self, heats=heats, images=images, parts={})

    def overlaps(self) -> pl.DataFrame:
        """Return for each picture and two words, head and dependent: iou, iod (of the dependent), ioh (of the head)."""
        rows = []
        for picture, heats in enumerate(self.heats):
            masks = {word: self.mask(picture, word) for word in heats}
            for head, dependent in permutations(masks, 2):
                both = int((masks[head] & masks[dependent]).sum())
                iou = overlap(masks[head], masks[dependent])
                iod, ioh = (both / max(1, int(masks[word].sum())) for word in (dependent, head))
                rows.append((picture, head, dependent, iou, iod, ioh))
        return pl.DataFrame(rows, ["picture", "head", "dependent", "iou", "iod", "ioh"], orient="row")

    def dependencies(self) -> pl.DataFrame:
        """Return the overlaps' means over the pictures.

        Columns: head, dependent, measure (mIoU, mIoD or mIoH), value, low and high over prompts, n.
        """
        rows, prompts = [], self._prompts()
        for (head, dependent), part in self.overlaps().group_by("head", "dependent", maintain_order=True):
            clusters = [(prompts[picture],) for picture in part["picture"]]
            for measure, column in (("mIoU", "iou"), ("mIoD", "iod"), ("mIoH", "ioh")):
                mean = mean_score(part[column].to_list(), clusters=clusters)
                rows.append((head, dependent, measure, *mean, len(part)))
        names = ["head", "dependent", "measure", "value", "low", "high", "n"]
        return pl.DataFrame(rows, names, orient="row")

    def summary(self) -> str:
        """Say how well the concept's map finds the thing in the picture, beside the best word's; or the best alone."""
        mean = self._means()
        if mean.is_empty():
            return f"Nothing stands out from the background, for a map to be held against.{self._lacking()}"
        best = mean.row(0, named=True)
        if self.concept is None:
            return f"{self._rank(best['word'])}{self._others(mean)}; {self._looked_at_most()}.{self._lacking()}"
        first, own = self._rank(self.concept), mean.filter(pl.col("word") == self.concept)["auc"][0]
        if best["word"] == self.concept:
            return f"{first}{self._others(mean)}.{self._lacking()}"
        if f"{best['auc']:.2f}" == f"{own:.2f}":
            return f"{first}, and no other word with more.{self._lacking()}"
        return f"{first}; “{best['word']}” does so best, with {best['auc']:.2f}.{self._lacking()}"

    def _means(self) -> pl.DataFrame:
        """Return by word the mean rank of what stands out, the best first."""
        ranked = self._whole().drop_nulls("auc").group_by("word", maintain_order=True).agg(pl.col("auc").mean())
        return ranked.sort("auc", descending=True, maintain_order=True)

    def _rank(self, word: str) -> str:
        """Return how well a word's map ranks what stands out, and how often it points there."""
        part = self._whole().filter(pl.col("word") == word).drop_nulls("auc")
        value, low, high = mean_score(part["auc"].to_list(), clusters=part.select("prompt").rows())
        count = len(part)
        return (
            f"Where “{word}” is looked at ranks what stands out from the background above the rest (AUC {value:.2f}, "
            f"{low:.2f} to {high:.2f}; 0.50 by chance), and is most inside of it in {part['hit'].sum()} of "
            f"{count} {'picture' if count == 1 else 'pictures'}"
        )

    def _others(self, mean: pl.DataFrame) -> str:
        """Return that no other word does better than the best, or nothing where that cannot be said."""
        is_alone = len(mean) == 1 or f"{mean['auc'][1]:.2f}" == f"{mean['auc'][0]:.2f}"
        return "" if is_alone else ", better than any other word"

    def _looked_at_most(self) -> str:
        mass = self._whole().group_by("word", maintain_order=True).agg(pl.col("mass").mean())
        word, most = mass.sort("mass", descending=True, maintain_order=True).row(0)
        return f"“{word}” is looked at most, with {percent(most)} of the attention to the words of its prompt"

    def _prompts(self) -> list[str]:
        """Return the prompt of each picture."""
        starts = np.cumsum([0, *map(len, self.heats[:-1])])
        return self._whole()["prompt"].gather(starts).to_list()

    def _whole(self) -> pl.DataFrame:
        """Return the table's rows that are of all parts together."""
        return self.table.filter(pl.col("part") == ALL) if "part" in self.table.columns else self.table

    def _lacking(self) -> str:
        return f" Without a token, and so without a map: {', '.join(self.unread)}." if self.unread else ""

    def plot(self) -> Figure:
        """Plot a row for each picture: the picture, then each word's map over it."""
        columns = 1 + max(len(heats) for heats in self.heats)
        figure = new_figure(1.5 * columns, 1.65 * len(self.images))
        panels = figure.subplots(len(self.images), columns, squeeze=False)
        hide_axes(panels.flat)
        for axes, image, heats in zip(panels, self.images, self.heats, strict=True):
            axes[0].imshow(image, interpolation="nearest")
            for axis, (word, heat) in zip(axes[1:], heats.items(), strict=False):
                axis.imshow(image.convert("L"), cmap="gray", interpolation="nearest", vmin=0, vmax=255)
                enlarged = enlarge(heat, image)
                axis.imshow(enlarged / enlarged.max(), cmap="magma", alpha=0.75, vmin=0, vmax=1)
                axis.set_title(word, fontsize=9, parse_math=False)
        figure.supxlabel("the lighter, the more a word is looked at", fontsize=9)
        return figure


def _table(
    texts: Sequence[str],
    seeds: Sequence[int],
    heats: Sequence[dict[str, Heat]],
    images: Sequence[Image.Image],
    settings: Maps,
) -> pl.DataFrame:
    rows = []
    for text, seed, words, image in zip(texts, seeds, heats, images, strict=True):
        total = sum(float(heat.sum()) for heat in words.values())
        thing = foreground(image)
        for word, heat in words.items():
            mass = float(heat.sum()) / total
            rows.append((text, seed, word, mass, *agreement(heat, image, thing, settings.threshold, settings.rule)))
    about = {"prompt": pl.String, "seed": pl.Int64, "word": pl.String, "mass": pl.Float64}
    return pl.DataFrame(rows, about | SCORES, orient="row")


def _of_part(part: str, table: pl.DataFrame) -> pl.DataFrame:
    return table.insert_column(table.columns.index("word") + 1, pl.lit(part).alias("part"))
