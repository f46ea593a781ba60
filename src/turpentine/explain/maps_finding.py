"""Maps of words over pictures: which shares of their sums they have, and how well they show what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from PIL import Image

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.formatting import percent
from turpentine.explain._image_stats import foreground, overlap
from turpentine.explain._map_sums import ALL
from turpentine.explain._masks import SCORES, Heat, Mask, Rule, agreement, enlarge, mask_of
from turpentine.explain._plots import hide_axes, new_figure
from turpentine.explain.finding import Finding
from turpentine.stats.intervals import mean_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


def table_of(
    texts: Sequence[str],
    seeds: Sequence[int],
    heats: Sequence[dict[str, Heat]],
    images: Sequence[Image.Image],
    threshold: float,
    rule: Rule,
) -> pl.DataFrame:
    """Return the table of maps: how each word's shows what stands out from its picture's background.

    Args:
        texts: The prompt of each picture.
        seeds: Of each picture.
        heats: The map of each word, for each picture.
        images: The pictures.
        threshold: The share from which on a pixel belongs to a word.
        rule: What that is a share of; see `Maps`.
    """
    rows = []
    for text, seed, words, image in zip(texts, seeds, heats, images, strict=True):
        total = sum(float(heat.sum()) for heat in words.values())
        thing = foreground(image)
        for word, heat in words.items():
            mass = float(heat.sum()) / total
            rows.append((text, seed, word, mass, *agreement(heat, image, thing, threshold, rule)))
    about = {"prompt": pl.String, "seed": pl.Int64, "word": pl.String, "mass": pl.Float64}
    return pl.DataFrame(rows, about | SCORES, orient="row")
