"""Which blocks bring a concept from the text to the picture, and whether the concept goes with other words there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.formatting import percent, two_digits
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Settings
from turpentine.explain._columns import judged_column
from turpentine.explain._plots import draw_bars, new_figure
from turpentine.explain._rereading import check_same_mask, keys_and_values, layers_inside
from turpentine.explain._value_parts import ValueParts
from turpentine.explain.finding import Finding
from turpentine.judges.base import Judge, hits, label_of
from turpentine.judges.worlds import check_judge_of
from turpentine.models.branches import Intervention, run_branches
from turpentine.models.call import Call
from turpentine.models.drawing_defaults import drawing_of
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.model import Model
from turpentine.models.sampler import sample
from turpentine.models.sites import READS_TEXT, Site
from turpentine.models.text import reworded
from turpentine.stats.intervals import Rate, mean_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Scores = Float[np.ndarray, "picture block"]

UNTOUCHED, MOST, LEAST, ALL, OTHER = "untouched", "most", "least", "all", "other prompt"


@dataclass(frozen=True)
class Blocks(Settings):
    """Rank blocks by what a concept's words add to the picture in each, and check the ranking by other words there.

    A block's score is ‖Σ_j a_ij·W_O·v_j‖ over the tokens j of the concept, mean over the picture's tokens i and the
    steps (LocK: Zarei et al. 2025, arXiv 2505.18832). The check lets the blocks with the highest scores, and as many
    with the lowest, read keys and values of the text as they are in a run of another prompt. A ranking that says where
    the concept is loses it with the first and keeps it with the second.

    Args:
        top: How many blocks are given other words at once.
        target: Words in the concept's place in the other prompt, as many tokens where the text has a mask; the empty
            prompt by default.
        column: The judge's label that should not be the concept's; by default the one that the concept is one of.
        steps: DDIM steps of a picture; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides (w); by default as the family takes it, 4 in the emoji world.
        batch_size: Pictures drawn at once.

    Example:
        >>> import turpentine as tp
        >>> model, judge = tp.load(), tp.judges.EmojiJudge()
        >>> finding = Blocks(steps=1)(model, "a church", 0, concept="church", judge=judge)
        >>> finding.table.columns[:3], finding.check["blocks"].to_list()
        (['site', 'kind', 'label'], ['untouched', 'most', 'least', 'all', 'other prompt'])
    """

    name: ClassVar[str] = "blocks"
    top: Count = 2
    target: str = ""
    column: str | None = None
    steps: Count | None = None
    guidance_scale: Finite | None = None
    batch_size: Count = 4

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int] = range(8),
        *,
        concept: str | Sequence[str],
        judge: Judge,
        label: str | Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> BlocksFinding:
        """Score the blocks, and draw pictures with other words in some.

        Args:
            model: The model.
            prompts: What to draw; pair up with the seeds as in `Model.generate`.
            seeds: Of the pictures.
            concept: Words of the prompts that the question is about, one text for all or one for each picture.
            judge: Has the column.
            label: The judge's label for the concept, likewise; by default the one that the concept names.
            progress: Called with pictures done and in all.

        Raises:
            BadArgument: More blocks than there are, a prompt that is too long, or a label that is none of the judge's.
            UnknownName: A column that the judge has not.
            EmptyConcept: A concept that is not in its prompt.
        """
        check_judge_of(model, judge)
        modules = list(model.sites.only(kind=READS_TEXT, level="module"))
        if self.top > len(modules):
            raise BadArgument(f"There are no {self.top} blocks to choose: give 1 to {len(modules)}.")
        texts, numbers = fitting_pairs(model, prompts, seeds)
        concepts, named = _each(concept, texts), _each(label or concept, texts)
        column = self.column or judged_column(judge, named[0])
        labels = [label_of(judge, column, one) for one in named]
        others = [self._other(model, *pair) for pair in zip(texts, concepts, strict=True)]
        shares = []
        for some in batches(len(texts), self.batch_size):
            shares.append(self._scored(model, modules, texts[some], numbers[some], concepts[some]))
            if progress:
                progress(some.stop, 2 * len(texts))
        scores = np.concatenate(shares)
        table = _table(modules, scores, texts)
        groups = _groups(modules, scores.mean(axis=0), self.top)
        images: dict[str, list[Image.Image]] = {}
        for some in batches(len(texts), self.batch_size):
            for name, batch in self._reread(model, groups, texts[some], others[some], numbers[some]).items():
                images.setdefault(name, []).extend(batch)
            if progress:
                progress(len(texts) + some.stop, 2 * len(texts))
        gone = {name: [not hit for hit in hits(judge, column, each, labels)] for name, each in images.items()}
        title = "What the concept's words add to the picture"
        return BlocksFinding(table, model.sites, title, _checked(gone, groups, texts), images)

    def _other(self, model: Model, text: str, concept: str) -> str:
        """Return the prompt that some blocks read in the place of another."""
        model.text.find(text, concept)
        other = reworded(text, concept, self.target) if self.target else ""
        model.text.check_fits(other)
        return other

    @torch.no_grad()
    def _scored(
        self,
        model: Model,
        modules: Sequence[Site],
        texts: Sequence[str],
        seeds: Sequence[int],
        concepts: Sequence[str],
    ) -> Scores:
        """Return what the concepts' words add in each block, for each picture."""
        drawing = drawing_of(self, model)
        tokens = [_tokens(model, *pair) for pair in zip(texts, concepts, strict=True)]
        totals: dict[str, Float[Tensor, " picture"]] = {}

        def add(call: Call, of_words: Tensor, rest: Tensor) -> None:
            totals[call.site.name] = totals.get(call.site.name, 0) + of_words.norm(dim=-1).mean(dim=-1)

        with ValueParts(model, replace(model.sites, chosen=tuple(modules)), add, tokens).on():
            for _ in sample(model, model.encode(texts), model.encode([""]), model.noise(seeds), **drawing):
                pass
        return np.stack([totals[site.name].cpu().numpy() / drawing["steps"] for site in modules], axis=1)

    def _reread(
        self,
        model: Model,
        groups: Mapping[str, Sequence[Site]],
        texts: Sequence[str],
        others: Sequence[str],
        seeds: Sequence[int],
    ) -> dict[str, list[Image.Image]]:
        """Return the pictures with other words in some blocks, by the name of these."""
        cond, other = model.encode(texts), model.encode(others)
        check_same_mask(cond, other)
        read = keys_and_values(model)
        runs = [
            Intervention(cond=cond, reread=layers_inside(read, modules) if modules else None)
            for modules in groups.values()
        ]
        noise, drawing = model.noise(seeds), drawing_of(self, model)
        first, latents = run_branches(model, runs, other, model.encode([""]), noise, **drawing)
        return {name: model.decode(each) for name, each in zip((*groups, OTHER), (*latents, first), strict=True)}


@dataclass(frozen=True, eq=False)
class BlocksFinding(Finding):
    """What a concept's words add to the picture in each block.

    Args:
        table: A row for each block in order of execution: site, kind, label, score, low, high, n (pictures).
        check: How often the concept is gone with other words in some blocks: blocks ("untouched", "most", "least",
            "all", and "other prompt" for a picture of that), labels, score (the share of pictures), low, high, n.
        images: The pictures, by "untouched" and so on.
    """

    check: pl.DataFrame
    images: dict[str, list[Image.Image]] = field(default_factory=dict)

    def summary(self) -> str:
        """Say which block adds most, and what other words do there and where least is added."""
        most = self.table.sort("score", descending=True, maintain_order=True).row(0, named=True)
        rates = {row["blocks"]: row for row in self.check.rows(named=True)}
        first = (
            f"In {most['label']} the concept's words add most, {two_digits(most['score'])} ({two_digits(most['low'])} "
            f"to {two_digits(most['high'])})."
        )
        return (
            f"{first} With other words in {_rate(rates[MOST])} of the pictures are without it; in {_rate(rates[LEAST])}"
            f"; of the untouched, {percent(rates[UNTOUCHED]['score'])}."
        )

    def plot(self) -> Figure:
        """Plot the blocks' scores, and beside them what other words do."""
        figure = new_figure(9.0, 0.9 + 0.26 * max(len(self.table), len(self.check)))
        left, right = figure.subplots(1, 2)
        draw_bars(left, self.table["label"].to_list(), self.table, "score")
        draw_bars(right, self.check["blocks"].to_list(), self.check, "score")
        left.set(xlabel="what the concept's words add", title=self.title)
        right.set(xlim=(0, 1), xlabel="pictures without the concept", title="With other words in")
        for axis in (left, right):
            axis.invert_yaxis()
        return figure


def _tokens(model: Model, text: str, concept: str) -> list[int]:
    """Return the places of a concept's words among all tokens of the text that the denoiser reads."""
    readings = [each for each in model.readings if each.what == "hidden" and each.text is not None]
    places = ((each.start, each.text.find_all(text, concept)) for each in readings if each.text is not None)
    return [start + token for start, spans in places for span in spans for token in span]


def _groups(modules: Sequence[Site], scores: Float[np.ndarray, " block"], top: int) -> dict[str, list[Site]]:
    """Return the blocks that are given other words together, by name."""
    order = [modules[index] for index in np.argsort(-scores, kind="stable")]
    return {UNTOUCHED: [], MOST: order[:top], LEAST: order[-top:], ALL: list(modules)}


def _table(modules: Sequence[Site], scores: Scores, texts: Sequence[str]) -> pl.DataFrame:
    clusters = [(text,) for text in texts]
    rows = [
        (site.name, site.kind, site.label, *_mean(column, clusters), len(column))
        for site, column in zip(modules, scores.T, strict=True)
    ]
    return pl.DataFrame(rows, ["site", "kind", "label", "score", "low", "high", "n"], orient="row")


def _mean(values: Float[np.ndarray, " picture"], clusters: Sequence[tuple[str]]) -> tuple[float, float, float]:
    mean = mean_score(values.tolist(), clusters=clusters)
    assert mean is not None  # there is a picture at least
    return mean.value, mean.low, mean.high


def _checked(
    gone: Mapping[str, Sequence[bool]], groups: Mapping[str, Sequence[Site]], texts: Sequence[str]
) -> pl.DataFrame:
    rows = []
    for name, values in gone.items():
        rate = Rate.of(list(values), [(text,) for text in texts])
        assert rate is not None  # there is a picture at least
        labels = ", ".join(site.label for site in groups.get(name, ()))
        rows.append((name, labels, rate.value, rate.low, rate.high, rate.n))
    return pl.DataFrame(rows, ["blocks", "labels", "score", "low", "high", "n"], orient="row")


def _each(given: str | Sequence[str], texts: Sequence[str]) -> list[str]:
    """Return one text for each picture.

    Raises:
        BadArgument: They are fewer or more than the pictures.
    """
    each = [given] * len(texts) if isinstance(given, str) else list(given)
    if len(each) != len(texts):
        raise BadArgument(f"There are {len(each)} concepts or labels for {len(texts)} pictures: give one for each.")
    return each


def _rate(row: Mapping[str, Any]) -> str:
    return f"{row['labels']}, {percent(row['score'])} ({percent(row['low'])} to {percent(row['high'])}; n {row['n']})"
