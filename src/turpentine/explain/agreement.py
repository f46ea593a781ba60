"""Does editing work better where an instrument points (Hase 2023)? Its scores beside what edits there do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from jaxtyping import Float

from turpentine.core.errors import BadArgument, NotFinite
from turpentine.core.progress import Progress
from turpentine.core.settings import Count, Seed, Settings
from turpentine.explain._plots import new_figure, open_frame
from turpentine.explain.finding import Finding
from turpentine.models.site_table import SCORE_COLUMNS, short_names
from turpentine.models.sites import Sites
from turpentine.stats.correlation import spearman, spearman_interval, spearman_p

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = Float[np.ndarray, " site"]

CROWD = 0.1
"""The part of the axes around 0 in which sites are drawn without their names."""

FEWEST = 4
"""Sites; the ranks of three agree fully in one shuffle of six."""


@dataclass(frozen=True)
class Agreement(Settings):
    """Compare an instrument's ranks of sites with those of what an edit at each of them does (Hase 2023).

    By Spearman's correlation over the sites. It takes a finding, so that it is no instrument of the command line.

    Args:
        rounds: Resamples of the sites, for the interval, and shuffles, for p.
        seed: Of both.
    """

    rounds: Count = 2000
    seed: Seed = 0

    def __call__(
        self,
        finding: Finding,
        measured: Callable[[Sites], float] | pl.DataFrame,
        *,
        progress: Progress | None = None,
    ) -> AgreementFinding:
        """Measure how the two agree.

        Args:
            finding: Has a row for each site, such as a causal trace; a row for a label is of no one site.
            measured: Edits a selection of one site and returns what that achieved, the more the better; or a table of
                site and measured, of which the sites count that both have.
            progress: Called with edits done and in all.

        Raises:
            BadArgument: Rows that are no such scores, or fewer than 4 sites.
            UnknownName: A site that the model has not.
            NotFinite: Values that are none, or all alike.
        """
        scores = _scores(finding)
        if isinstance(measured, pl.DataFrame):
            values = dict(measured.select("site", "measured").iter_rows())
        else:
            values = {}
            for name in scores:
                values[name] = measured(finding.everything.named([name]))
                if progress:
                    progress(len(values), len(scores))
        both = [(name, score, float(values[name])) for name, score in scores.items() if name in values]
        if len(both) < FEWEST:
            raise BadArgument(f"{len(both)} sites have both a score and a measured value: give {FEWEST} or more.")
        kinds = {site.name: (site.kind, site.label) for site in finding.everything.named([name for name, *_ in both])}
        rows = [(name, *kinds[name], score, value) for name, score, value in both]
        table = pl.DataFrame(rows, ["site", "kind", "label", "score", "measured"], orient="row")
        x, y = table["score"].to_numpy(), table["measured"].to_numpy()
        title = f"{finding.title}, and what edits do"
        return AgreementFinding(table, finding.everything, title, *self._correlation(x, y))

    def _correlation(self, x: Values, y: Values) -> tuple[float, float, float, float]:
        """Return ρ, its percentile bootstrap over sites, and the two-sided p of shuffles."""
        rho = spearman(x, y)
        if not np.isfinite([*x, *y, rho]).all():
            raise NotFinite("There are no ranks: all scores or all measured values are alike, or one is no number.")
        low, high = spearman_interval(x, y, rounds=self.rounds, seed=self.seed)
        return rho, low, high, spearman_p(x, y, rounds=self.rounds, seed=self.seed)


@dataclass(frozen=True, eq=False)
class AgreementFinding(Finding):
    """How two ranks agree.

    Args:
        table: A row for each site: site, kind, label, score (the instrument's), measured (what the edit there did).
        rho: Spearman's, −1 to 1.
        low: The lower end of its interval.
        high: The upper end.
        p: Of so large a rho, either way, by chance.
    """

    rho: float
    low: float
    high: float
    p: float

    def summary(self) -> str:
        """Say how well edits go with the instrument's scores."""
        return (
            f"Over {len(self.table)} sites, what edits do goes with the instrument's scores by ρ {self.rho:.2f} "
            f"({self.low:.2f} to {self.high:.2f}; p {self.p:.2g})."
        )

    def plot(self) -> Figure:
        """Plot what edits do by the instrument's scores; the sites that are not in the crowd at 0 are named."""
        figure = new_figure(4.8, 3.9)
        axis = figure.subplots()
        kinds = self.table["kind"].unique(maintain_order=True).to_list()
        for kind in kinds:
            part = self.table.filter(pl.col("kind") == kind)
            axis.scatter(part["score"], part["measured"], s=18, label=kind)
        apart = pl.any_horizontal(
            pl.col(name).abs() > CROWD * pl.col(name).abs().max() for name in ("score", "measured")
        )
        names = short_names(self.table)
        for site, x, y in self.table.filter(apart).select("site", "score", "measured").iter_rows():
            axis.annotate(names[site], (x, y), xytext=(3, 3), textcoords="offset points", fontsize=6)
        axis.set_title(f"ρ {self.rho:.2f} ({self.low:.2f} to {self.high:.2f}), p {self.p:.2g}", fontsize=10)
        axis.set(xlabel="the instrument's score", ylabel="what the edit does")
        open_frame(axis)
        if len(kinds) > 1:
            figure.legend(loc="outside lower center", ncols=min(4, len(kinds)), fontsize=7, frameon=False)
        else:
            axis.set_xlabel(f"the instrument's score of {kinds[0]}")
        return figure


def _scores(finding: Finding) -> dict[str, float]:
    column = next((name for name in SCORE_COLUMNS if name in finding.table.columns), None)
    if column is None or "site" not in finding.table.columns:
        raise BadArgument(f"{finding.title!r} has no score for each site: give a finding such as a causal trace.")
    rows = finding.table.select("site", column).drop_nulls().rows()
    scores = dict(rows)
    if len(scores) < len(rows):
        raise BadArgument(f"{finding.title!r} has several rows for a site: leave one in its table for each.")
    return scores
