"""Keys and values of each cross-attention head: which heads keep groups of words apart (thesis, section 0.4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from matplotlib.figure import Figure

from turpentine.errors import BadArgument
from turpentine.explain.finding import Finding
from turpentine.intervals import mean_score
from turpentine.models.model import Model
from turpentine.models.text import find_subject

Points = Float[np.ndarray, "word feature"]

PARTS = {"key": "to_k", "value": "to_v"}


@dataclass(frozen=True)
class Heads:
    """How well each head's keys, or values, tell groups of words apart.

    template: the prompt for a word, with {} for it; the state of the word's last token counts. seed: of the resamples.
    """

    template: str = "{}"
    seed: int = 0

    @torch.no_grad()
    def __call__(self, model: Model, groups: Mapping[str, Sequence[str]]) -> HeadsFound:
        """The silhouettes of groups of words in every head's keys and values.

        groups: two names or more, each with two words or more. The denoiser is not run.
        Raises BadArgument for fewer, or a template without {}; EmptyConcept for a word that the model has no token for.
        """
        if len(groups) < 2 or min(map(len, groups.values())) < 2:
            raise BadArgument("Heads are told apart by two groups or more, each of two words or more.")
        if "{}" not in self.template:
            raise BadArgument(f"The template {self.template!r} has no place for a word: write {{}} there.")
        words = [word for group in groups.values() for word in group]
        names = list(groups)
        of = np.array([names.index(name) for name, group in groups.items() for _ in group])
        states = self._states(model, words)
        rows, points = [], {}
        for site in model.sites.only(kind="cross-attention", level="module"):
            module: Any = model.module(site.name)
            for part, layer in PARTS.items():
                read = getattr(module, layer).forward(states).float().cpu().numpy().astype(np.float64)
                for head, found in enumerate(np.split(read, module.heads, axis=1)):
                    score = mean_score(silhouettes(found, of).tolist(), self.seed)
                    rows.append((site.name, site.label, head, part, *score))
                    points[site.label, head, part] = found
        table = pl.DataFrame(rows, ["site", "label", "head", "part", "score", "low", "high"], orient="row")
        return HeadsFound(table, model.sites, "Heads that tell groups apart", points, words, of, names)

    def _states(self, model: Model, words: Sequence[str]) -> torch.Tensor:
        prompts = [self.template.format(word) for word in words]
        hidden = model.encode(prompts).hidden
        places = [
            find_subject(model.pipeline.tokenizer, prompt, word, length=hidden.shape[1])
            for prompt, word in zip(prompts, words, strict=True)
        ]
        return torch.stack([row[place.last] for row, place in zip(hidden, places, strict=True)]).to(model.dtype)


@dataclass(frozen=True, eq=False)
class HeadsFound(Finding):
    """The silhouettes.

    table: a row for each head and part: site, label, head (from 0), part ("key" or "value"), score (the mean silhouette
    of the words, −1 to 1: above 0 where a word is nearer to its own group), low, high. points: keys or values by
    label, head and part. words, group, names: of each point, its group's index, and the groups' names.
    """

    points: Mapping[tuple[str, int, str], Points]
    words: list[str]
    group: np.ndarray
    names: list[str]

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
        figure = Figure(figsize=(12, 6.4), layout="constrained")
        rows = figure.add_gridspec(2, 1, height_ratios=(1, 1.6))
        above, below = figure.add_subfigure(rows[0]), figure.add_subfigure(rows[1])
        bound = max(0.05, float(np.abs(self.table["score"].to_numpy()).max()))
        for axis, part in zip(above.subplots(1, 2), PARTS, strict=True):
            scores = self.table.filter(pl.col("part") == part).pivot("head", index="label", values="score")
            image = axis.imshow(scores.drop("label").to_numpy().T, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto")
            axis.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
            axis.set(title=f"{part}s", ylabel="head")
        above.colorbar(image, ax=above.axes, label="silhouette")
        shown = [(self.best(part), part, "best") for part in PARTS] + [(self.worst("value"), "value", "worst")]
        for axis, ((label, head), part, rank) in zip(below.subplots(1, len(shown)), shown, strict=True):
            flat = flattened(self.points[label, head, part])
            for number, name in enumerate(self.names):
                mine = flat[self.group == number]
                axis.scatter(*mine.T, s=14, label=name)
            axis.set_title(f"{rank} {part}: {label}, head {head}", fontsize=10)
            axis.set_xticks([])
            axis.set_yticks([])
        below.axes[0].legend(fontsize=8, frameon=False)
        return figure


def silhouettes(points: Points, of: np.ndarray) -> Float[np.ndarray, " word"]:
    """(b − a) / max(a, b): a is a point's mean distance to its own group, b to the nearest other (Rousseeuw 1987)."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    groups = np.unique(of)
    member = of[None] == groups[:, None]
    totals = distance @ member.T
    own = member.T
    sizes = member.sum(1)
    a = (totals * own).sum(1) / ((own * sizes).sum(1) - 1)
    b = np.where(own, np.inf, totals / sizes).min(1)
    found: Float[np.ndarray, " word"] = (b - a) / np.maximum(np.maximum(a, b), 1e-12)
    return found


def flattened(points: Points) -> Float[np.ndarray, "word 2"]:
    """The first two principal components."""
    centred = points - points.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    flat: Float[np.ndarray, "word 2"] = centred @ axes[:2].T
    return flat
