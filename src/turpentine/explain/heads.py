"""Keys and values of each cross-attention head: which heads keep groups of words apart (thesis, section 0.4.2)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import numpy as np
import polars as pl
import torch
from jaxtyping import Float

from turpentine.core.errors import BadArgument
from turpentine.core.formatting import two_digits
from turpentine.core.safe_text import one_line
from turpentine.core.settings import Count, Seed, Settings
from turpentine.explain._codes import is_joint, modules_of
from turpentine.explain._head_vectors import PARTS, Axes, Points, head_vectors
from turpentine.explain._plots import new_figure, whole_numbers
from turpentine.explain.finding import Finding
from turpentine.explain.instrument import FromText
from turpentine.explain.stops import Stop, TourInputs
from turpentine.models.model import Model
from turpentine.stats.intervals import mean_score

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

Distances = Float[np.ndarray, "*set word word"]
Groups: TypeAlias = Mapping[str, Sequence[str]]

TRIED = 10
"""Shuffles whose time says how long all of them take."""

CLOSE = 1e-9
"""Scores are alike that differ by less: a shuffle may well give the groups themselves."""

TOUR_GROUPS: Groups = {
    "animals": ("dog", "cat", "horse", "fish", "owl", "elephant", "penguin", "whale"),
    "vehicles": ("car", "truck", "bus", "bicycle", "airplane", "rocket", "sailboat", "balloon"),
    "colours": ("red", "blue", "green", "yellow", "purple", "orange", "pink", "black"),
}
"""Words whose keys and values a tour asks the heads to tell apart."""


def read_groups(texts: Sequence[str]) -> dict[str, list[str]]:
    """Read groups of words, with a name before them or without.

    Example:
        >>> read_groups(["animals=dog,cat", "church, house"])
        {'animals': ['dog', 'cat'], 'group 2': ['church', 'house']}
    """
    groups: dict[str, list[str]] = {}
    for number, text in enumerate(texts, start=1):
        name, equals, words = text.rpartition("=")
        groups[name if equals else f"group {number}"] = [word.strip() for word in words.split(",") if word.strip()]
    return groups


def _words(groups: Groups) -> list[str]:
    return [word for group in groups.values() for word in group]


def read_lines(path: Path) -> tuple[str, ...]:
    """Read the lines of a text file, without empty ones.

    Raises:
        BadArgument: The file holds none, or is no text in UTF-8.
        OSError: As the file system does.
    """
    try:
        lines = tuple(filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())))
    except UnicodeDecodeError as error:
        name = one_line(str(path))
        raise BadArgument(f"{name} is no text in UTF-8: give a file with a prompt on each line.") from error
    if not lines:
        raise BadArgument(f"{one_line(str(path))} holds no prompt: give one on each line.")
    return lines


@dataclass(frozen=True)
class Heads(Settings):
    """Say which heads of cross-attention keep groups of words apart, in their keys and in their values.

    The score is the mean silhouette of the words (Rousseeuw 1987; thesis, section 0.4.2). For cross-attention the
    denoiser is not run. Keys and values of joint attention hang on the picture and the time: they are those of one call
    on noise alone, the same for all words, at the time at which sampling begins.

    Args:
        template: The prompt for a word, with {} in its place; the state of the word's last token counts.
        background: A text file with a prompt on each line, or the prompts, such as many captions, on whose tokens the
            plot's axes are fitted; the words themselves by default.
        shuffles: How often the groups' words are shuffled, to say what chance does.
        seed: Seed of all draws.

    Example:
        >>> finding = Heads(shuffles=10)(model, {"animals": ("dog", "cat"), "buildings": ("church", "house")})
        >>> finding.table.columns[:5]
        ['site', 'label', 'head', 'part', 'score']
    """

    name: ClassVar[str] = "heads"
    template: str = "{}"
    background: Path | tuple[str, ...] = ()
    shuffles: Count = 1000
    seed: Seed = 0

    @torch.no_grad()
    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            BadArgument: A field is out of range, or the template has no place for a word.
        """
        super().__post_init__()
        if "{}" not in self.template:
            raise BadArgument(f"The template {self.template!r} has no place for a word: write {{}} there.")

    def __call__(
        self,
        model: Model,
        groups: Annotated[
            Groups,
            FromText(
                read_groups,
                _words,
                "Words with commas between, a name before them if you like: animals=dog,cat buildings=church,house.",
                "animals=dog,cat buildings=church,house",
            ),
        ],
    ) -> HeadsFinding:
        """Measure how well each head's keys and values tell groups of words apart.

        Args:
            model: The model.
            groups: Two names or more, each with two words or more.

        Raises:
            BadArgument: Fewer groups or words, a word that is there twice, a template without {}, or a prompt that is
                too long.
            EmptyConcept: A word that the model has no token for.
        """
        words, names = _words(groups), list(groups)
        self._check(groups, words)
        background = read_lines(self.background) if isinstance(self.background, Path) else self.background
        for prompt in background:
            model.text.check_fits(prompt, "A prompt of the background")
        of = np.array([names.index(name) for name, group in groups.items() for _ in group])
        heads = head_vectors(model, self._prompts(model, words), words, background, self.seed)
        scores = [mean_score(silhouettes(head.distances, of).tolist(), self.seed) for head in heads]
        rows = [(*head.name, *score) for head, score in zip(heads, scores, strict=True)]
        table = pl.DataFrame(rows, ["site", "label", "head", "part", "score", "low", "high"], orient="row")
        best = best_by_chance(np.stack([head.distances for head in heads]), of, self.shuffles, self.seed)
        return HeadsFinding(
            table,
            model.sites,
            "Heads that tell groups apart",
            {head.name[1:]: head.points for head in heads},
            {head.name[1:]: head.axes for head in heads},
            words,
            of,
            names,
            chance=float(np.quantile(best, 0.95, method="higher")),
            p=(1 + int((best > table["score"].to_numpy().max() - CLOSE).sum())) / (1 + len(best)),
        )

    def _check(self, groups: Groups, words: Sequence[str]) -> None:
        if len(groups) < 2 or min(map(len, groups.values())) < 2:
            raise BadArgument(
                "Heads are told apart by two groups or more, each of two words or more: write them as "
                "animals=dog,cat buildings=church,house."
            )
        lower = [word.lower() for word in words]
        twice = next((word for word in words if lower.count(word.lower()) > 1), None)
        if twice is not None:
            raise BadArgument(f"{twice!r} is there twice: give each word once, in one group.")

    def seconds(self, model: Model, groups: Groups) -> float:
        """Return about how long such groups take, by trying some of the shuffles, which take most of it."""
        of = np.repeat(range(len(groups)), [len(group) for group in groups.values()])
        modules: list[Any] = [model.module(site.name) for site in modules_of(model)]
        sets = len(PARTS) * sum(module.heads for module in modules)
        start = time.monotonic()
        best_by_chance(np.ones((sets, len(of), len(of))), of, TRIED, self.seed)
        return (time.monotonic() - start) / TRIED * self.shuffles

    def _prompts(self, model: Model, words: Sequence[str]) -> list[str]:
        """Return the words' prompts."""
        prompts = [self.template.replace("{}", word) for word in words]
        for prompt in prompts:
            model.text.check_fits(prompt)
        return prompts

    @classmethod
    def stops(cls, tour: TourInputs) -> list[Stop]:
        """Tell animals, vehicles and colours apart."""
        instrument = cls()
        return [
            Stop(
                "heads",
                "Which heads tell kinds of words apart?",
                50,
                len(_words(TOUR_GROUPS)) if is_joint(modules_of(tour.model)) else 0,
                instrument,
                lambda _, __: instrument(tour.model, TOUR_GROUPS),
                overhead=lambda: instrument.seconds(tour.model, TOUR_GROUPS),
            )
        ]


@dataclass(frozen=True, eq=False)
class HeadsFinding(Finding):
    """How well each head tells groups of words apart; `sites` are the modules with the best heads.

    Args:
        table: A row for each head and part: site, label, head (from 0), part ("key" or "value"), score (the mean
            silhouette of the words, −1 to 1: above 0 where a word is nearer to its own group), low, high.
        points: Keys or values of the words, by label, head and part.
        axes: The two directions in which the background's keys or values spread most.
        words: Of the points.
        group: Of each point, its group's index.
        names: Of the groups.
        chance: What the highest score of all stays below in 95 % of shuffles of the words over the groups, so that a
            head above it is no winner by luck.
        p: The share of shuffles in which the highest score is as high as here.
    """

    points: Mapping[tuple[str, int, str], Points]
    axes: Mapping[tuple[str, int, str], Axes]
    words: list[str]
    group: np.ndarray
    names: list[str]
    chance: float
    p: float

    @property
    def above(self) -> int:
        """The number of the table's rows that score more than `chance`."""
        return int((self.table["score"] > self.chance + CLOSE).sum())

    def best(self, part: str = "value") -> tuple[str, int]:
        """Return label and number of the head with the highest score."""
        row = self.table.filter(pl.col("part") == part).sort("score", descending=True).row(0, named=True)
        return row["label"], row["head"]

    def worst(self, part: str = "value") -> tuple[str, int]:
        """Return those of the head with the lowest."""
        row = self.table.filter(pl.col("part") == part).sort("score").row(0, named=True)
        return row["label"], row["head"]

    def numbers(self) -> Mapping[str, Any]:
        """Return what chance does, p, and how many heads are above chance."""
        return {"chance": self.chance, "p": self.p, "above": self.above}

    def summary(self) -> str:
        """Say which head is best and which worst, and whether the best is so by more than luck."""
        best = self.table.sort("score", descending=True).row(0, named=True)
        worst = self.table.sort("score").row(0, named=True)
        others = ""
        if self.above > 1:
            others = f", as {'is 1 other' if self.above == 2 else f'are {self.above - 1} others'}"
        return (
            f"The groups {', '.join(self.names[:-1])} and {self.names[-1]} are told apart best by the {best['part']}s "
            f"of {best['label']}'s head {best['head']} (silhouette {two_digits(best['score'])}, "
            f"{two_digits(best['low'])} to {two_digits(best['high'])}), worst by the {worst['part']}s of "
            f"{worst['label']}'s head {worst['head']} ({two_digits(worst['score'])}). "
            f"The best is {'' if self.above else 'not '}above what the best of "
            f"{len(self.table)} sets of keys or values reaches by chance in 95 % of shuffles of the words "
            f"({two_digits(self.chance)}; p {self.p:.2g}){others}."
        )

    def plot(self) -> Figure:
        """Plot all heads' scores as two maps, and the words in the best and the worst head in two dimensions."""
        labels = self.table["label"].unique(maintain_order=True).to_list()
        figure = new_figure(max(12, 2.5 + 0.26 * len(labels)), 6.4)
        rows = figure.add_gridspec(2, 1, height_ratios=(1, 1.6))
        self._plot_scores(figure.add_subfigure(rows[0]), labels)
        self._plot_words(figure.add_subfigure(rows[1]))
        return figure

    def _plot_scores(self, figure: SubFigure, labels: Sequence[str]) -> None:
        bound = max(0.05, float(np.abs(self.table["score"].to_numpy()).max()))
        for axis, part in zip(figure.subplots(1, 2), PARTS, strict=True):
            scores = self.table.filter(pl.col("part") == part).pivot("head", index="label", values="score")
            image = axis.imshow(scores.drop("label").to_numpy().T, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto")
            axis.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
            axis.yaxis.set_major_locator(whole_numbers())
            axis.set(title=f"{part}s", ylabel="head")
        figure.colorbar(image, ax=figure.axes, label="silhouette")

    def _plot_words(self, figure: SubFigure) -> None:
        panels = [(self.best(part), part, "best") for part in PARTS] + [(self.worst("value"), "value", "worst")]
        for axis, ((label, head), part, rank) in zip(figure.subplots(1, len(panels)), panels, strict=True):
            flat = self.points[label, head, part] @ self.axes[label, head, part]
            for number, name in enumerate(self.names):
                axis.scatter(*flat[self.group == number].T, s=14, label=name)
            axis.set_title(f"{rank} {part}: {label}, head {head}", fontsize=10)
            axis.set_xticks([])
            axis.set_yticks([])
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False)


def silhouettes(distance: Distances, of: np.ndarray) -> Float[np.ndarray, "*set word"]:
    """Return (b − a) / max(a, b): a is a point's mean distance to its own group, b to the nearest other.

    Rousseeuw 1987. scikit-learn takes one matrix of distances at a time; this takes those of all heads at once, which
    makes a thousand shuffles quick, and spares a dependency for six lines.

    Args:
        distance: Of each point to each, for one set of points or several.
        of: Each point's group.
    """
    own = of[:, None] == np.unique(of)
    sizes = own.sum(0)
    totals = distance @ own.astype(float)
    a = (totals * own).sum(-1) / ((own * sizes).sum(-1) - 1)
    b = np.where(own, np.inf, totals / sizes).min(-1)
    values: Float[np.ndarray, "*set word"] = (b - a) / np.maximum(np.maximum(a, b), 1e-12)
    return values


def best_by_chance(distance: Distances, of: np.ndarray, shuffles: int, seed: int) -> Float[np.ndarray, " shuffle"]:
    """Return the highest mean silhouette of all sets of points, for each shuffle of the points over the groups."""
    rng = np.random.default_rng(seed)
    return np.array([silhouettes(distance, rng.permutation(of)).mean(-1).max() for _ in range(shuffles)])
