"""Keys and values of each cross-attention head: which heads keep groups of words apart (thesis, section 0.4.2)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from turpentine.core.errors import BadArgument
from turpentine.explain.finding import Finding
from turpentine.models.generate import batches
from turpentine.models.model import Model
from turpentine.models.sites import Sites
from turpentine.stats.intervals import mean_score

Points = Float[np.ndarray, "word feature"]
Distances = Float[np.ndarray, "*set word word"]
Spread = Float[np.ndarray, "channel channel"]
Axes = Float[np.ndarray, "feature 2"]

TRIED = 10
"""Shuffles whose time says how long all of them take."""

CLOSE = 1e-9
"""Scores are alike that differ by less: a shuffle may well give the groups themselves."""

BATCH = 64
"""Background prompts that are encoded at a time."""

PARTS = {"key": "to_k", "value": "to_v"}


@dataclass(frozen=True)
class Heads:
    """How well each head's keys, or values, tell groups of words apart.

    template: the prompt for a word, with {} for it; the state of the word's last token counts. background: prompts
    whose tokens, without start, end and padding, the axes of the picture are fitted on, such as many captions; the
    words themselves by default. shuffles: of the groups' words, to say what chance does. seed: of all draws.
    """

    template: str = "{}"
    background: tuple[str, ...] = ()
    shuffles: int = 1000
    seed: int = 0

    @torch.no_grad()
    def __call__(self, model: Model, groups: Mapping[str, Sequence[str]]) -> HeadsFound:
        """The silhouettes of groups of words in every head's keys and values.

        groups: two names or more, each with two words or more. The denoiser is not run.
        Raises BadArgument for fewer, a word that is there twice, a template without {}, a prompt that is too long, or
        no shuffle; EmptyConcept for a word that the model has no token for.
        """
        if len(groups) < 2 or min(map(len, groups.values())) < 2:
            raise BadArgument("Heads are told apart by two groups or more, each of two words or more.")
        if "{}" not in self.template:
            raise BadArgument(f"The template {self.template!r} has no place for a word: write {{}} there.")
        if self.shuffles < 1:
            raise BadArgument(f"{self.shuffles} shuffles show no chance: give 1 or more.")
        words = [word for group in groups.values() for word in group]
        names = list(groups)
        small = [word.lower() for word in words]
        twice = next((word for word in words if small.count(word.lower()) > 1), None)
        if twice is not None:
            raise BadArgument(f"{twice!r} is there twice: give each word once, in one group.")
        of = np.array([names.index(name) for name, group in groups.items() for _ in group])
        for prompt in self.background:
            model.text.check_fits(prompt, "A prompt of the background")
        states = self._states(model, words)
        spread = self._spread(model) if self.background else _covariance(states.double().cpu().numpy())
        rows, apart, points, axes = [], [], {}, {}
        for site in _read(model):
            module: Any = model.module(site.name)
            for part, layer in PARTS.items():
                linear = getattr(module, layer)
                read = linear.forward(states).double().cpu().numpy()
                weight = linear.weight.double().cpu().numpy()
                by_head = (np.split(each, module.heads, axis) for each, axis in ((read, 1), (weight, 0)))
                for head, (found, own) in enumerate(zip(*by_head, strict=True)):
                    apart.append(distances(found))
                    score = mean_score(silhouettes(apart[-1], of).tolist(), self.seed)
                    rows.append((site.name, site.label, head, part, *score))
                    points[site.label, head, part] = found
                    axes[site.label, head, part] = principal(own @ spread @ own.T)
        table = pl.DataFrame(rows, ["site", "label", "head", "part", "score", "low", "high"], orient="row")
        best = best_by_chance(np.stack(apart), of, self.shuffles, self.seed)
        p = (1 + int((best > table["score"].to_numpy().max() - CLOSE).sum())) / (1 + len(best))
        chance = float(np.quantile(best, 0.95, method="higher"))
        return HeadsFound(
            table, model.sites, "Heads that tell groups apart", points, axes, words, of, names, chance=chance, p=p
        )

    def seconds(self, model: Model, groups: Mapping[str, Sequence[str]]) -> float:
        """About how long it takes for such groups, by trying some of the shuffles, which take most of it."""
        of = np.repeat(range(len(groups)), [len(group) for group in groups.values()])
        modules: list[Any] = [model.module(site.name) for site in _read(model)]
        sets = len(PARTS) * sum(module.heads for module in modules)
        began = time.monotonic()
        best_by_chance(np.ones((sets, len(of), len(of))), of, TRIED, self.seed)
        return (time.monotonic() - began) / TRIED * self.shuffles

    def _spread(self, model: Model) -> Spread:
        """The covariance of the states of all the background's tokens, which is that of their keys within a matrix."""
        states = []
        for some in batches(len(self.background), BATCH):
            prompts = self.background[some]
            hidden = model.encode(prompts).hidden
            for row, prompt in zip(hidden, prompts, strict=True):
                own = model.text.find(prompt).subject
                states.append(row[list(own)].double().cpu().numpy())
        return _covariance(np.concatenate(states))

    def _states(self, model: Model, words: Sequence[str]) -> torch.Tensor:
        prompts = [self.template.replace("{}", word) for word in words]
        for prompt in prompts:
            model.text.check_fits(prompt)
        hidden = model.encode(prompts).hidden
        places = [model.text.find(prompt, word) for prompt, word in zip(prompts, words, strict=True)]
        return torch.stack([row[place.last] for row, place in zip(hidden, places, strict=True)]).to(model.dtype)


@dataclass(frozen=True, eq=False)
class HeadsFound(Finding):
    """The silhouettes; `sites` are the modules with the best heads.

    table: a row for each head and part: site, label, head (from 0), part ("key" or "value"), score (the mean silhouette
    of the words, −1 to 1: above 0 where a word is nearer to its own group), low, high. points, axes: keys or values by
    label, head and part, and the two directions in which the background's spread most. words, group, names: of each
    point, its group's index, and the groups' names. chance: what the highest score of all stays below in 95 % of
    shuffles of the words over the groups, so that a head above it is no winner by luck. p: the share of shuffles in
    which it is as high as here.
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
        """How many of the table's rows score more than `chance`."""
        return int((self.table["score"] > self.chance + CLOSE).sum())

    def best(self, part: str = "value") -> tuple[str, int]:
        """Label and number of the head with the highest score."""
        row = self.table.filter(pl.col("part") == part).sort("score", descending=True).row(0, named=True)
        return row["label"], row["head"]

    def worst(self, part: str = "value") -> tuple[str, int]:
        """Of the one with the lowest."""
        row = self.table.filter(pl.col("part") == part).sort("score").row(0, named=True)
        return row["label"], row["head"]

    def plot(self) -> Figure:
        """The scores of all heads as two maps, and the words in the best and the worst head in two dimensions."""
        labels = self.table["label"].unique(maintain_order=True).to_list()
        figure = Figure(figsize=(max(12, 2.5 + 0.26 * len(labels)), 6.4), layout="constrained")
        rows = figure.add_gridspec(2, 1, height_ratios=(1, 1.6))
        above, below = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
        bound = max(0.05, float(np.abs(self.table["score"].to_numpy()).max()))
        for axis, part in zip(above.subplots(1, 2), PARTS, strict=True):
            scores = self.table.filter(pl.col("part") == part).pivot("head", index="label", values="score")
            image = axis.imshow(scores.drop("label").to_numpy().T, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto")
            axis.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
            axis.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axis.set(title=f"{part}s", ylabel="head")
        above.colorbar(image, ax=above.axes, label="silhouette")
        shown = [(self.best(part), part, "best") for part in PARTS] + [(self.worst("value"), "value", "worst")]
        for axis, ((label, head), part, rank) in zip(below.subplots(1, len(shown)), shown, strict=True):
            flat = self.points[label, head, part] @ self.axes[label, head, part]
            for number, name in enumerate(self.names):
                mine = flat[self.group == number]
                axis.scatter(*mine.T, s=14, label=name)
            axis.set_title(f"{rank} {part}: {label}, head {head}", fontsize=10)
            axis.set_xticks([])
            axis.set_yticks([])
        below.axes[0].legend(fontsize=8, frameon=False)
        return figure


def distances(points: Points) -> Float[np.ndarray, "word word"]:
    """Of each point to each."""
    found: Float[np.ndarray, "word word"] = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return found


def silhouettes(distance: Distances, of: np.ndarray) -> Float[np.ndarray, "*set word"]:
    """(b − a) / max(a, b): a is a point's mean distance to its own group, b to the nearest other (Rousseeuw 1987).

    scikit-learn takes one matrix of distances at a time; this takes those of all heads at once, which makes a thousand
    shuffles quick, and spares a dependency for six lines.
    """
    own = of[:, None] == np.unique(of)
    sizes = own.sum(0)
    totals = distance @ own.astype(float)
    a = (totals * own).sum(-1) / ((own * sizes).sum(-1) - 1)
    b = np.where(own, np.inf, totals / sizes).min(-1)
    found: Float[np.ndarray, "*set word"] = (b - a) / np.maximum(np.maximum(a, b), 1e-12)
    return found


def best_by_chance(distance: Distances, of: np.ndarray, shuffles: int, seed: int) -> Float[np.ndarray, " shuffle"]:
    """The highest mean silhouette of all sets of points, for each shuffle of the points over the groups."""
    rng = np.random.default_rng(seed)
    return np.array([silhouettes(distance, rng.permutation(of)).mean(-1).max() for _ in range(shuffles)])


def principal(spread: Float[np.ndarray, "feature feature"]) -> Axes:
    """The two directions of the largest variance."""
    return np.linalg.eigh(spread)[1][:, :-3:-1]


def _read(model: Model) -> Sites:
    """The modules that have the heads."""
    return model.sites.only(kind="cross-attention", level="module")


def _covariance(states: Float[np.ndarray, "token channel"]) -> Spread:
    return np.cov(states, rowvar=False, bias=True)
