"""Regression over ablations: recovers a linear truth, and its pieces against plain transcriptions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from turpentine.attribution import Objective, attribute
from turpentine.core.errors import BadArgument
from turpentine.explain.coar import COAR, ablations, fitted, trials_needed
from turpentine.models import Model, Trajectory, count_rows, hooked

KINDS = ("self-attention", "cross-attention")


def test_a_linear_truth_is_found() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=12)
    kept = ablations(rng, 300, 12, 0.2)
    weights, reach = fitted(kept, kept @ truth + 5)
    np.testing.assert_allclose(weights, truth)
    np.testing.assert_allclose(reach, 0, atol=1e-9)
    noisy, _ = fitted(kept, kept @ truth + 5 + rng.normal(size=300) / 10)
    np.testing.assert_allclose(noisy, truth, atol=0.1)


@pytest.mark.parametrize(("trials", "t"), [(14, 2.228), (24, 2.086), (64, 2.000), (124, 1.980)])
def test_the_interval_is_that_of_least_squares(trials: int, t: float) -> None:
    """By Frisch and Waugh: a weight's variance is s² over what the other columns leave of its own; t from a table."""
    rng = np.random.default_rng(trials)
    kept = ablations(rng, trials, 3, 0.3)
    values = kept @ np.array([1.0, -2.0, 0.5]) + rng.normal(size=trials)
    columns = [np.ones(trials), *kept.T.astype(float)]
    weights, reach = fitted(kept, values)
    rest = values - np.stack(columns, 1) @ np.linalg.pinv(np.stack(columns, 1)) @ values
    spread = (rest @ rest) / (trials - 4)
    for module in range(3):
        mine, others = columns[1 + module], np.stack([c for n, c in enumerate(columns) if n != 1 + module], 1)
        own = mine - others @ np.linalg.pinv(others) @ mine
        assert weights[module] == pytest.approx(own @ values / (own @ own))
        assert reach[module] == pytest.approx(t * (spread / (own @ own)) ** 0.5, rel=2e-3)


@pytest.mark.parametrize(("modules", "share"), [(8, 0.3), (8, 0.05)])
def test_the_interval_holds_the_truth_as_often_as_it_says(modules: int, share: float) -> None:
    """At the fewest trials that are taken; 400 fits, of which 95 ± 2 % is two standard errors."""
    rng = np.random.default_rng(3)
    truth, trials = rng.normal(size=modules), trials_needed(modules, share)
    held = []
    for _ in range(400):
        kept = ablations(rng, trials, modules, share)
        weights, reach = fitted(kept, kept @ truth + rng.normal(size=trials))
        held.append(np.abs(weights - truth) <= reach)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("modules", "share"), [(1, 0.5), (16, 0.05), (58, 0.01), (30, 0.9)])
def test_every_weight_is_determined_in_the_fewest_trials(modules: int, share: float) -> None:
    for seed in range(20):
        kept = ablations(np.random.default_rng(seed), trials_needed(modules, share), modules, share)
        assert kept.any(0).all() and not kept.all(0).any()
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=modules)
        np.testing.assert_allclose(fitted(kept, kept @ truth + 1)[0], truth, atol=1e-6)


def test_each_module_is_left_out_by_its_own_toss() -> None:
    kept = ablations(np.random.default_rng(1), 4000, 10, 0.1)
    np.testing.assert_allclose(1 - kept.mean(0), 0.1, atol=0.02)
    assert abs(np.corrcoef(kept.T.astype(float))[0, 1]) < 0.05


@pytest.fixture(scope="module")
def found(sd1: Model):
    return COAR(KINDS, trials=66, share=0.1, steps=3)(sd1, ["a church", "a dog"], [0, 1])


def objective(model: Model) -> Objective:
    run = Trajectory.record(model, ["a church", "a dog"], [0, 1], steps=3, guidance_scale=3.0)
    return Objective.apart(model, run)


def test_measured_is_j_without_the_modules_output(sd1: Model, found) -> None:
    """An attention whose weights and biases are 0 gives 0."""
    points = objective(sd1)
    whole = points.value(sd1)
    assert found.whole == pytest.approx(whole, rel=1e-4)
    for row in found.table.rows(named=True)[::3]:
        site = next(site for site in sd1.sites if site.name == row["site"])
        with hooked(sd1, {site: lambda call: torch.zeros_like(call.tensor)}):
            without = points.value(sd1)
        assert row["measured"] == pytest.approx(whole - without, rel=1e-3, abs=1e-4 * abs(whole))


def test_cad_is_the_sum_of_a_modules_alphas(sd1: Model, found) -> None:
    alpha = attribute(sd1, objective(sd1), sd1.sites.only(kind="cross-attention", level="module")).alpha
    for row in found.table.rows(named=True):
        if row["kind"] == "cross-attention":
            expected = sum(float(a.sum()) for name, a in alpha.items() if name.startswith(row["site"] + "."))
            assert row["cad"] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_the_scores_point_at_sites_and_are_drawn(sd1: Model, found, tmp_path) -> None:
    table = found.table
    assert (table["low"] <= table["high"]).all()
    assert found.agreement("measured")[0] == pytest.approx(1.0)
    best = table.sort("score", descending=True)["site"][0]
    assert [site.name for site in found.sites(1)] == [best]
    found.plot().savefig(tmp_path / "coar.png")
    assert (tmp_path / "coar.png").stat().st_size > 5000


def test_what_it_costs(sd1: Model) -> None:
    modules = len(sd1.sites.only(kind="self-attention", level="module"))
    trials = trials_needed(modules, 0.2)
    with count_rows(sd1) as count:
        COAR(("self-attention",), trials, 0.2, steps=2)(sd1, ["a church"], [0])
    points = 2
    assert count.rows - count.grad_rows == 2 * points + (1 + modules + trials) * points
    assert count.grad_rows == points


def test_too_few_trials_and_odd_shares_are_told(whole_sd1: Model) -> None:
    with pytest.raises(BadArgument, match="cannot tell 32 modules apart, each left out of"):
        COAR(KINDS, trials=trials_needed(32, 0.05) - 1)(whole_sd1, ["a church"], [0])
    with pytest.raises(BadArgument, match=r"COAR's share is 0.*: give over 0 and less than 1"):
        COAR(KINDS, share=0.0)(whole_sd1, ["a church"], [0])
    with pytest.raises(BadArgument, match="3 modules are too few"):
        COAR()._check(3)
