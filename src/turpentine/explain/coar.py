"""COAR (Shah 2024): what each module counts for, by regression over random ablations; to hold CAD's α against.

J(ablation) ≈ b + Σ w_c·1[c is kept], fitted by least squares over random sets of ablated modules: w_c is how far J
falls without module c, whatever else is gone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from torch import Tensor

from turpentine.attribution import Objective, attribute
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.explain.cache import parts_of
from turpentine.explain.finding import Finding
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.model import Model
from turpentine.models.sites import DENOISER, Site, Sites
from turpentine.models.trajectory import Trajectory
from turpentine.stats.correlation import pearson
from turpentine.stats.intervals import CONFIDENCE, Estimate

AT_ONCE = 10
"""Ablations that are kept together."""

FEWEST = 4
"""Modules; a correlation over three has no interval."""

Intact = Bool[np.ndarray, "trial module"]
Values = Float[np.ndarray, " trial"]
Weights = Float[np.ndarray, " module"]


@dataclass(frozen=True)
class Coar:
    """Modules of the denoiser by how far a concept's J falls without them, three ways.

    By regression over `trials` random sets, each module in each with probability `share`; by ablating each alone; by
    CAD's first order, the sum of its weights' α. To ablate is to set all its weights and biases to 0. J is the mean
    squared distance of ε(x_t, c) from ε(x_t, ∅) over a stored run (CAD, equation 4).

    kinds: of modules. steps: of DDIM. guidance_scale: of the stored run. seed: of the sets.
    """

    kinds: tuple[str, ...] = ("resnet", "self-attention", "cross-attention", "feed-forward")
    trials: int = 400
    share: float = 0.05
    steps: int = 20
    guidance_scale: float = 3.0
    batch_size: int = 20
    seed: int = 0

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int],
        *,
        keep: Path | None = None,
        progress: Progress | None = None,
    ) -> Regressed:
        """The three scores of each module for prompts of a concept and seeds, which pair up as in `Model.generate`.

        The denoiser sees (trials + modules + 1)·T·n rows beside the run and its gradient. keep: a folder for
        what is measured, from which a run that was broken off goes on. progress: called with ablations done and in all.
        Raises BadArgument for numbers out of range, for fewer modules than 4, fewer trials than `trials_needed`, or a
        prompt that is too long.
        """
        modules = tuple(model.sites.only(kind=self.kinds, level="module", component=DENOISER))
        self._check(len(modules))
        texts, numbers = fitting_pairs(model, prompts, seeds)
        run = Trajectory.record(model, texts, numbers, steps=self.steps, guidance_scale=self.guidance_scale)
        objective = Objective.apart(model, run)
        intact = ablations(np.random.default_rng(self.seed), self.trials, len(modules), self.share)
        every = np.concatenate([np.ones((1, len(modules)), bool), ~np.eye(len(modules), dtype=bool), intact])
        kept, values = parts_of(keep, model, self), np.empty(len(every))
        for some in batches(len(every), AT_ONCE):
            asked = [run.prompts, run.seeds, some.start, some.stop]
            measure = partial(self._ablated, model, objective, modules, every[some])
            values[some] = kept.part(asked, measure)["values"].numpy()
            if progress:
                progress(some.stop, len(every))
        whole, alone, drawn = values[0], values[1 : 1 + len(modules)], values[1 + len(modules) :]
        weights, reach = fitted(intact, drawn)
        table = pl.DataFrame(
            {
                "site": [module.name for module in modules],
                "kind": [module.kind for module in modules],
                "label": [module.label for module in modules],
                "score": weights,
                "low": weights - reach,
                "high": weights + reach,
                "measured": whole - alone,
                "cad": self._cad(model, objective, modules),
            }
        )
        return Regressed(table, model.sites, "Modules by how far J falls without them", float(whole))

    def _ablated(
        self, model: Model, objective: Objective, modules: Sequence[Site], intact: Intact
    ) -> dict[str, Tensor]:
        """J without the modules that are not intact, for each trial."""
        gone = ([module for module, stays in zip(modules, one, strict=True) if not stays] for one in intact)
        values = [objective.value(model, _zeros(model, each), batch_size=self.batch_size) for each in gone]
        return {"values": torch.tensor(values, dtype=torch.float64)}

    def _check(self, modules: int) -> None:
        if not 0 < self.share < 1:
            raise BadArgument(f"A share of {self.share} ablates none or all: give one between 0 and 1.")
        if modules < FEWEST:
            raise BadArgument(f"{modules} modules are too few to compare scores over: give kinds of {FEWEST} or more.")
        needed = trials_needed(modules, self.share)
        if self.trials < needed:
            raise BadArgument(
                f"{self.trials} trials cannot tell {modules} modules apart, each left out of {self.share:g} of them: "
                f"give {needed} or more."
            )

    def _cad(self, model: Model, objective: Objective, modules: Sequence[Site]) -> list[float]:
        """Σ α over each module's weights."""
        found = attribute(model, objective, Sites(model.sites.everything, tuple(modules)), batch_size=self.batch_size)
        sums = dict(found.modules().select("site", "alpha").iter_rows())
        return [sums[module.name] for module in modules]


@dataclass(frozen=True, eq=False)
class Regressed(Finding):
    """The scores.

    table: a row for each module in order of execution: site, kind, label, score (w_c), low, high (of the fit, which
    takes for noise what no sum over modules explains), measured (how far J falls without it alone), cad (Σ α). whole: J
    of the model as it is.
    """

    whole: float

    def agreement(self, one: str, other: str = "measured") -> Estimate:
        """Pearson's r of two of the columns score, measured and cad over the modules, with its 95 % interval."""
        return pearson(self.table[one].to_numpy(), self.table[other].to_numpy())

    def plot(self) -> Figure:
        """Regression and first order, each against the measured fall."""
        figure = Figure(figsize=(8, 3.8), layout="constrained")
        for axis, column in zip(figure.subplots(1, 2), ("score", "cad"), strict=True):
            for kind in self.table["kind"].unique(maintain_order=True):
                part = self.table.filter(pl.col("kind") == kind)
                axis.scatter(part["measured"], part[column], s=16, label=kind)
            axis.axline((0, 0), slope=1, color="#999999", linewidth=0.8)
            r, low, high = self.agreement(column)
            name = "regression" if column == "score" else "first order"
            axis.set_title(f"{name}: r {r:.2f} ({low:.2f} to {high:.2f})", fontsize=10)
            axis.set(xlabel="J falls without it alone", ylabel=name)
            axis.spines[["top", "right"]].set_visible(False)
        figure.axes[0].legend(fontsize=8, frameon=False)
        return figure


def trials_needed(modules: int, share: float) -> int:
    """Two for each weight, and so many that in every other draw or more no module is kept in all, or gone in all."""
    constant = max(share, 1 - share)
    return max(2 * (modules + 1), math.ceil(math.log(2 * modules) / -math.log(constant)))


def ablations(rng: np.random.Generator, trials: int, modules: int, share: float) -> Intact:
    """Which modules are kept in each trial, each left out by its own toss; drawn anew until all weights are determined.

    That takes two draws or so from `trials_needed` on.
    """
    while True:
        kept = rng.random((trials, modules)) >= share
        if np.linalg.matrix_rank(_design(kept)) == modules + 1:
            return kept


def fitted(kept: Intact, values: Values) -> tuple[Weights, Weights]:
    """The weights of the least-squares fit with an intercept, and how far their 95 % intervals reach to each side.

    t·√(s²·(XᵀX)⁻¹_cc), of trials − modules − 1 degrees of freedom.
    """
    from scipy.stats import t

    design = _design(kept)
    found, *_ = np.linalg.lstsq(design, values, rcond=None)
    freedom = len(values) - design.shape[1]
    variance = ((values - design @ found) ** 2).sum() / freedom * np.linalg.inv(design.T @ design).diagonal()
    return found[:-1], t.ppf(0.5 + CONFIDENCE / 2, freedom) * np.sqrt(variance[:-1])


def _design(kept: Intact) -> Float[np.ndarray, "trial column"]:
    return np.concatenate([kept.astype(float), np.ones((len(kept), 1))], axis=1)


def _zeros(model: Model, gone: Sequence[Site]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(model.parameter(name)) for module in gone for name in module.parameters}
