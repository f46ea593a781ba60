"""Strengths against the package choix, their own likelihood, and what they were drawn from."""

from __future__ import annotations

import choix
import numpy as np
import pytest

from turpentine.core.errors import BadArgument
from turpentine.stats.bradley_terry import Choice, Outcome, fit_strengths, separate_groups

# Agresti 2013, "Categorical Data Analysis", table 11.10: wins of baseball teams, 1987.
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
WINS = (
    (0, 7, 9, 7, 7, 9, 11),
    (6, 0, 7, 5, 11, 9, 9),
    (4, 6, 0, 7, 7, 8, 12),
    (6, 8, 6, 0, 6, 7, 10),
    (6, 2, 6, 7, 0, 7, 12),
    (4, 4, 5, 6, 6, 0, 6),
    (2, 4, 1, 3, 1, 7, 0),
)


def baseball() -> list[Choice]:
    return [
        Choice(TEAMS[one], TEAMS[other], "left", game)
        for one, row in enumerate(WINS)
        for other, wins in enumerate(row)
        for game in range(wins)
    ]


def test_the_published_example_and_another_package() -> None:
    fit = fit_strengths(baseball(), sides=False)
    strengths = [fit.strengths[name].value for name in TEAMS]
    published = [1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0]  # relative to Baltimore
    assert [round(each - strengths[-1], 2) for each in strengths] == published
    pairs = [(one, other) for one, row in enumerate(WINS) for other, wins in enumerate(row) for _ in range(wins)]
    theirs = choix.ilsr_pairwise(len(TEAMS), pairs)
    assert strengths == pytest.approx(theirs - theirs.mean(), abs=1e-5)


def drawn_choices(seed: int, raters: int = 60) -> list[Choice]:
    """From strengths 1, 0, −1, a left side that is preferred by 0.4, and ν = 0.6."""
    rng = np.random.default_rng(seed)
    strengths = {"a": 1.0, "b": 0.0, "c": -1.0}
    choices = []
    for rater in range(raters):
        for _ in range(12):
            left, right = rng.permutation(list(strengths))[:2]
            one, other = strengths[left] + 0.4, strengths[right]
            weights = np.exp([one, other, np.log(0.6) + (one + other) / 2])
            outcomes: tuple[Outcome, ...] = ("left", "right", "tie")
            choices.append(Choice(str(left), str(right), outcomes[rng.choice(3, p=weights / weights.sum())], rater))
    return choices


def test_ties_sides_and_strengths_come_back() -> None:
    fit = fit_strengths(drawn_choices(0))
    for name, truth in (("a", 1), ("b", 0), ("c", -1)):
        assert fit.strengths[name].low <= truth <= fit.strengths[name].high
        assert fit.strengths[name].value == pytest.approx(truth, abs=0.25)
    assert fit.left is not None and fit.left.value == pytest.approx(0.4, abs=0.2)
    assert fit.tie == pytest.approx(0.6, abs=0.15)
    assert fit.choices == 720


def test_the_fit_is_the_best_that_the_likelihood_has() -> None:
    choices = drawn_choices(1, 20)
    fit = fit_strengths(choices)

    def loss(strengths: dict[str, float], left: float, tie: float) -> float:
        whole = 0.0
        for each in choices:
            one, other = strengths[each.left] + left, strengths[each.right]
            weights = {
                "left": np.exp(one),
                "right": np.exp(other),
                "tie": tie * np.exp((one + other) / 2),
            }
            whole -= np.log(weights[each.outcome] / sum(weights.values()))
        return whole

    assert fit.left is not None
    values = {name: each.value for name, each in fit.strengths.items()}
    best = loss(values, fit.left.value, fit.tie)
    for name in values:
        for step in (-0.02, 0.02):
            assert loss({**values, name: values[name] + step}, fit.left.value, fit.tie) > best
    assert loss(values, fit.left.value + 0.02, fit.tie) > best < loss(values, fit.left.value, fit.tie * 1.03)


def test_a_side_that_cannot_be_told_from_strengths_is_left_out() -> None:
    choices = [Choice("a", "b", "left", n) for n in range(9)] + [Choice("b", "a", "right", n) for n in range(9)]
    choices += [Choice("b", "a", "left", 9)] * 5  # the one who is for "b" is for the left side, too
    fit = fit_strengths(choices)
    assert fit.left is None
    assert fit.strengths["a"].value - fit.strengths["b"].value == pytest.approx(np.log(18 / 5))


def test_what_cannot_be_ranked_together_is_named() -> None:
    apart = [Choice("a", "b", "left", 1), Choice("b", "a", "left", 1), Choice("c", "d", "tie", 1)]
    assert sorted(map(sorted, separate_groups(apart))) == [["a", "b"], ["c", "d"]]
    with pytest.raises(BadArgument, match=r"no chain of wins leads both ways between them: .*;"):
        fit_strengths(apart)
    always = [Choice("a", "b", "left", number) for number in range(9)]
    with pytest.raises(BadArgument, match="no chain of wins"):
        fit_strengths(always)
    with pytest.raises(BadArgument, match="nothing to rank"):
        fit_strengths([])
    with pytest.raises(BadArgument, match="There are ties"):
        fit_strengths(drawn_choices(0), ties=False)
