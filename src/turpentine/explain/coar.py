"""COAR (Shah 2024): what each module counts for, by regression over random ablations; to hold CAD's α against.

J(ablation) ≈ b + Σ w_c·1[c is intact], fitted by least squares over random sets of ablated modules: w_c is how far J
falls without module c, whatever else is gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import polars as pl
import torch
from annotated_types import Gt, Lt
from jaxtyping import Bool, Float
from torch import Tensor

from turpentine.attribution import Objective, attributable, attribute, check_attribution_fits
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import two_digits
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Finite, Seed, Settings
from turpentine.explain._plots import GREY, new_figure, open_frame
from turpentine.explain.cache import parts_of
from turpentine.explain.finding import Finding
from turpentine.models.generate import batches, fitting_pairs
from turpentine.models.model import Model
from turpentine.models.sites import DENOISER, Site, Sites
from turpentine.models.trajectory import Trajectory
from turpentine.stats.correlation import pearson
from turpentine.stats.intervals import CONFIDENCE, Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AT_ONCE = 10
"""Ablations that are cached together."""

FEWEST = 4
"""Modules; a correlation over three has no interval."""

Intact = Bool[np.ndarray, "trial module"]
Values = Float[np.ndarray, " trial"]
Weights = Float[np.ndarray, " module"]


@dataclass(frozen=True)
class COAR(Settings):
    """Say how far a concept falls without each module: by regression over ablations, to first order, and measured.

    By regression over `trials` random sets, each module in each with probability `share` (COAR, Shah 2024); by ablating
    each alone; by CAD's first order, the sum of its weights' α. To ablate is to set all weights and biases to 0. J is
    the mean squared distance of ε(x_t, c) from ε(x_t, ∅) over a stored run (CAD, equation 4). `erase` takes the table
    as --sites-from.

    Args:
        kinds: Which kinds of the denoiser's modules.
        trials: Random sets of modules that are ablated.
        share: The share of the modules that a set holds.
        steps: DDIM steps of the stored run.
        guidance_scale: How strongly the prompt guides the stored run (w).
        batch_size: Rows of the denoiser in one call.
        seed: Seed of the random sets.

    Example:
        >>> trials_needed(16, COAR().share)  # for the 16 cross-attention modules of Stable Diffusion 1
        68
        >>> COAR(share=1.0)
        Traceback (most recent call last):
        ...
        turpentine.core.errors.BadArgument: COAR's share is 1.0: give over 0 and less than 1.
    """

    name: ClassVar[str] = "coar"
    unit: ClassVar[str] = "ablations"

    kinds: tuple[str, ...] = ("resnet", "self-attention", "cross-attention", "feed-forward")
    trials: Count = 400
    share: Annotated[float, Gt(0), Lt(1)] = 0.05
    steps: Count = 20
    guidance_scale: Finite = 3.0
    batch_size: Count = 20
    seed: Seed = 0

    def __call__(
        self,
        model: Model,
        prompts: str | Sequence[str],
        seeds: int | Sequence[int] = range(1),
        *,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> COARFinding:
        """Score each module three ways.

        The denoiser sees (trials + modules + 1)·T·n rows beside the run and its gradient.

        Args:
            model: The model.
            prompts: Of the concept; pair up with the seeds as in `Model.generate`.
            seeds: Of the stored run.
            cache: The folder for what is measured, from which an interrupted run goes on.
            progress: Called with ablations done and in all.

        Raises:
            BadArgument: Fewer modules than 4, fewer trials than `trials_needed`, or a prompt that is too long.
            NoMemory: The gradients do not fit into the free memory; the message says what does.
        """
        modules = tuple(model.sites.only(kind=self.kinds, level="module", component=DENOISER))
        self._check(len(modules))
        texts, numbers = fitting_pairs(model, prompts, seeds)
        chosen = Sites(model.sites.everything, modules)
        check_attribution_fits(model, attributable(model, chosen), self.batch_size)
        run = Trajectory.record(model, texts, numbers, steps=self.steps, guidance_scale=self.guidance_scale)
        objective = Objective.apart(model, run, guidance_scale=self.guidance_scale)
        intact = ablations(np.random.default_rng(self.seed), self.trials, len(modules), self.share)
        every = np.concatenate([np.ones((1, len(modules)), bool), ~np.eye(len(modules), dtype=bool), intact])
        parts, values = parts_of(cache, model, self), np.empty(len(every))
        for some in batches(len(every), AT_ONCE):
            key = [run.prompts, run.seeds, some.start, some.stop]
            measure = partial(self._ablated, model, objective, modules, every[some])
            values[some] = parts.part(key, measure)["values"].numpy()
            if progress:
                progress(some.stop, len(every))
        whole, alone, trials = values[0], values[1 : 1 + len(modules)], values[1 + len(modules) :]
        table = _table(modules, fitted(intact, trials), whole - alone, self._cad(model, objective, chosen))
        return COARFinding(table, model.sites, "Modules by how far J falls without them", float(whole))

    def _ablated(
        self, model: Model, objective: Objective, modules: Sequence[Site], intact: Intact
    ) -> dict[str, Tensor]:
        """Return J without the modules that are not intact, for each trial."""
        gone = ([module for module, stays in zip(modules, one, strict=True) if not stays] for one in intact)
        values = [objective.value(model, _zeros(model, each), batch_size=self.batch_size) for each in gone]
        return {"values": torch.tensor(values, dtype=torch.float64)}

    def _check(self, modules: int) -> None:
        if modules < FEWEST:
            raise BadArgument(f"{modules} modules are too few to compare scores over: give kinds of {FEWEST} or more.")
        needed = trials_needed(modules, self.share)
        if self.trials < needed:
            raise BadArgument(
                f"{self.trials} trials cannot tell {modules} modules apart, each left out of {self.share:g} of them: "
                f"give {needed} or more."
            )

    def _cad(self, model: Model, objective: Objective, chosen: Sites) -> list[float]:
        """Return Σ α over each module's weights."""
        attribution = attribute(model, objective, chosen, batch_size=self.batch_size)
        sums = dict(attribution.modules().select("site", "alpha").iter_rows())
        return [sums[module.name] for module in chosen]


@dataclass(frozen=True, eq=False)
class COARFinding(Finding):
    """The three scores of modules.

    Args:
        table: A row for each module in order of execution: site, kind, label, score (w_c), low, high (of the fit, which
            takes for noise what no sum over modules explains), measured (how far J falls without it alone), cad (Σ α).
        whole: J of the model as it is.
    """

    whole: float

    def agreement(self, one: str, other: str = "measured") -> Estimate:
        """Return Pearson's r of two of the columns score, measured and cad over the modules, with its interval."""
        return pearson(self.table[one].to_numpy(), self.table[other].to_numpy())

    def numbers(self) -> Mapping[str, Any]:
        """Return how well the regression and the first order agree with ablating each module alone."""
        return {"agreement": {column: self.agreement(column)._asdict() for column in ("score", "cad")}}

    def summary(self) -> str:
        """Say how well the regression and the first order agree with ablating each module alone."""
        by_fit, first_order = (_correlation(self.agreement(column)) for column in ("score", "cad"))
        return (
            f"Over {len(self.table)} modules, the regression's scores go with what ablating each alone does by "
            f"{by_fit}, CAD's first order by {first_order}."
        )

    def plot(self) -> Figure:
        """Plot regression and first order, each against the measured fall."""
        figure = new_figure(8, 3.8)
        for axis, column in zip(figure.subplots(1, 2), ("score", "cad"), strict=True):
            for kind in self.table["kind"].unique(maintain_order=True):
                part = self.table.filter(pl.col("kind") == kind)
                axis.scatter(part["measured"], part[column], s=16, label=kind)
            axis.axline((0, 0), slope=1, color=GREY, linewidth=0.8)
            r, low, high = self.agreement(column)
            name = "regression" if column == "score" else "first order"
            axis.set_title(f"{name}: r {r:.2f} ({low:.2f} to {high:.2f})", fontsize=10)
            axis.set(xlabel="J falls without it alone", ylabel=name)
            open_frame(axis)
        figure.axes[0].legend(fontsize=8, frameon=False)
        return figure


def _correlation(r: Estimate) -> str:
    return f"r {two_digits(r.value)} ({two_digits(r.low)} to {two_digits(r.high)})"


def _table(
    modules: Sequence[Site], fit: tuple[Weights, Weights], measured: Weights, cad: Sequence[float]
) -> pl.DataFrame:
    weights, reach = fit
    return pl.DataFrame(
        {
            "site": [module.name for module in modules],
            "kind": [module.kind for module in modules],
            "label": [module.label for module in modules],
            "score": weights,
            "low": weights - reach,
            "high": weights + reach,
            "measured": measured,
            "cad": cad,
        }
    )


def trials_needed(modules: int, share: float) -> int:
    """Return two for each weight, and so many that in every other draw or more each module is both intact and gone."""
    constant = max(share, 1 - share)
    return max(2 * (modules + 1), math.ceil(math.log(2 * modules) / -math.log(constant)))


def ablations(rng: np.random.Generator, trials: int, modules: int, share: float) -> Intact:
    """Return which modules are intact in each trial, each left out by its own toss.

    They are drawn anew until all weights are determined. That takes two draws or so from `trials_needed` on.

    Args:
        rng: Of all chance.
        trials: How many.
        modules: How many there are.
        share: Of the modules that a trial leaves out, 0 to 1.
    """
    while True:
        intact = rng.random((trials, modules)) >= share
        if np.linalg.matrix_rank(_design(intact)) == modules + 1:
            return intact


def fitted(intact: Intact, values: Values) -> tuple[Weights, Weights]:
    """Return the weights of the least-squares fit with an intercept, and how far their 95 % intervals reach each way.

    t·√(s²·(XᵀX)⁻¹_cc), of trials − modules − 1 degrees of freedom.
    """
    from scipy.stats import t

    design = _design(intact)
    solution, *_ = np.linalg.lstsq(design, values, rcond=None)
    freedom = len(values) - design.shape[1]
    variance = ((values - design @ solution) ** 2).sum() / freedom * np.linalg.inv(design.T @ design).diagonal()
    return solution[:-1], t.ppf(0.5 + CONFIDENCE / 2, freedom) * np.sqrt(variance[:-1])


def _design(intact: Intact) -> Float[np.ndarray, "trial column"]:
    return np.concatenate([intact.astype(float), np.ones((len(intact), 1))], axis=1)


def _zeros(model: Model, gone: Sequence[Site]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(model.parameter(name)) for module in gone for name in module.parameters}
