"""An instrument's ranks beside what edits do, and what chance does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

from turpentine.core.errors import BadArgument, NotFinite, UnknownName
from turpentine.explain.agreement import Agreement
from turpentine.explain.finding import Finding
from turpentine.models import Model


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


@dataclass(frozen=True, eq=False)
class Scored(Finding):
    def plot(self) -> Figure:
        return Figure()

    def summary(self) -> str:
        return f"There are {len(self.table)} scores."


def scored(model: Model, scores, column: str = "effect") -> Scored:
    names = [site.name for site in model.sites.only(kind="cross-attention", level="module")][: len(scores)]
    return Scored(pl.DataFrame({"site": names, column: scores}), model.sites, "A trace")


def test_each_site_is_edited_alone(sd1: Model) -> None:
    found, told, done = scored(sd1, [0.1, 0.5, 0.3, 0.9, 0.2]), [], []

    def edit(sites) -> float:
        (site,) = sites
        told.append(site.name)
        return found.table.row(by_predicate=pl.col("site") == site.name)[1] ** 3

    agreed = Agreement(rounds=200)(found, edit, progress=lambda *at: done.append(at))
    assert told == found.table["site"].to_list()
    assert done == [(n, 5) for n in range(1, 6)]
    assert (agreed.rho, agreed.high) == (pytest.approx(1), pytest.approx(1))
    assert agreed.table["measured"].to_list() == pytest.approx([score**3 for score in found.table["effect"]])
    assert [site.name for site in agreed.sites(1)] == [found.table["site"][3]]


def test_what_has_nothing_to_do_with_the_score_is_mostly_told_so(sd1: Model) -> None:
    rng, ps, held = np.random.default_rng(1), [], []
    for _ in range(60):
        found = scored(sd1, rng.normal(size=16))
        values = found.table.select("site", pl.Series("measured", rng.normal(size=16)))
        agreed = Agreement(rounds=100)(found, values)
        ps.append(agreed.p)
        held.append(agreed.low <= 0 <= agreed.high)
    assert np.mean(np.array(ps) <= 0.05) <= 0.15
    assert np.mean(held) >= 0.8
    values = found.table.select("site", (-pl.col("effect")).alias("measured"))
    opposed = Agreement(rounds=100)(found, values)
    assert opposed.rho == pytest.approx(-1) and opposed.p == pytest.approx(1 / 101)


def test_sites_without_a_partner_are_left_out(sd1: Model, tmp_path) -> None:
    found = scored(sd1, [0.1, 0.5, None, 0.9, 0.2, 0.4])
    values = found.table.select("site", pl.Series("measured", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))[:5]
    agreed = Agreement(rounds=50)(found, values)
    assert agreed.table["measured"].to_list() == [1, 2, 4, 5]
    agreed.plot().savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_what_cannot_be_ranked_is_told(sd1: Model) -> None:
    def flat(sites) -> float:
        return 0.5

    with pytest.raises(NotFinite, match="all measured values are alike"):
        Agreement()(scored(sd1, [0.1, 0.2, 0.3, 0.4]), flat)
    with pytest.raises(BadArgument, match="3 sites have both"):
        Agreement()(scored(sd1, [0.1, 0.2, 0.3]), flat)
    with pytest.raises(BadArgument, match="no score for each site"):
        Agreement()(scored(sd1, [0.1, 0.2, 0.3, 0.4], column="value"), flat)
    twice = scored(sd1, [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(BadArgument, match="several rows"):
        Agreement()(Scored(pl.concat([twice.table] * 2), twice.everything, "Heads"), flat)
    labels = Scored(pl.DataFrame({"site": list("abcd"), "score": [1.0, 2, 3, 4]}), sd1.sites, "Labels")
    with pytest.raises(UnknownName, match="No site is called"):
        Agreement()(labels, flat)


def test_what_stands_out_is_named_by_label_or_number(sd1: Model) -> None:
    sites = [*sd1.sites.only(kind="resnet", level="module")][:3]
    sites += [*sd1.sites.only(kind="cross-attention", level="module")][:2]
    names, scores = [site.name for site in sites], [0.0, 0.9, 0.01, 0.5, 0.02]
    found = Scored(pl.DataFrame({"site": names, "effect": scores}), sd1.sites, "A trace")
    values = pl.DataFrame({"site": names, "measured": [0.0, 0.01, 0.8, 0.7, 0.03]})
    agreed = Agreement(rounds=50)(found, values)
    figure = agreed.plot()
    assert {text.get_text() for text in figure.axes[0].texts} == {"2", "3", sites[3].label}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["resnet", "cross-attention"]
