"""How strong each of several conditions is, from choices between two: Bradley and Terry, with ties and sides."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from turpentine.core.errors import BadArgument
from turpentine.stats.intervals import CONFIDENCE, Estimate

Outcome = Literal["left", "right", "tie"]
_CODES: dict[str, int] = {"left": 0, "right": 1, "tie": 2}
_MOST_FOR_A_SIDE = 3.0
"""A log of odds of 20: nobody prefers a side so much, and log γ grows so where nothing tells it from strengths."""
_RIDGE = 1e-9
"""Keeps the sum of strengths at 0, which the likelihood leaves open."""


class Choice(NamedTuple):
    """A choice between two conditions, one on the left and one on the right, by a rater."""

    left: str
    right: str
    outcome: Outcome
    rater: Hashable


@dataclass(frozen=True)
class Strengths:
    """A fitted model.

    Attributes:
        strengths: Of each condition, log π with its interval; their mean is 0.
        left: log γ, how much the left side is preferred; None where it is not fitted, or cannot be told from strengths.
        tie: ν, how often there is a tie: of two equal ones, ν/(2 + ν).
        choices: How many.
    """

    strengths: dict[str, Estimate]
    left: Estimate | None
    tie: float
    choices: int


def separate_groups(choices: Sequence[Choice]) -> list[list[str]]:
    """Return the groups of conditions that can be ranked among themselves, the best first; one group if all can.

    Two are in one group if a chain of wins leads from each to the other; a tie is a win for both. Between groups there
    is no strength that a likelihood could find: it would be infinite.

    Example:
        >>> separate_groups([Choice("a", "b", "left", 1), Choice("b", "a", "left", 1), Choice("a", "c", "left", 1)])
        [['a', 'b'], ['c']]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = _names(choices)
    wins = [
        pair
        for each in choices
        for pair, outcomes in (
            ((each.left, each.right), ("left", "tie")),
            ((each.right, each.left), ("right", "tie")),
        )
        if each.outcome in outcomes
    ]
    places = [[names.index(winner) for winner, _ in wins], [names.index(loser) for _, loser in wins]]
    graph = coo_array((np.ones(len(wins)), places), shape=(len(names), len(names)))
    count, labels = connected_components(graph, directed=True, connection="strong")
    groups = [[name for name, label in zip(names, labels, strict=True) if label == group] for group in range(count)]
    beaten = {name: len({loser for winner, loser in wins if winner == name}) for name in names}
    return sorted(groups, key=lambda group: -sum(beaten[name] for name in group) / len(group))


def fit_strengths(
    choices: Sequence[Choice], *, ties: bool = True, sides: bool = True, confidence: float = CONFIDENCE
) -> Strengths:
    """Return strengths by maximum likelihood, with intervals over raters.

    P(left) : P(right) : P(tie) = γ π_l : π_r : ν √(γ π_l π_r) (Davidson 1970; Davidson and Beaver 1977). Intervals are
    of the sandwich variance over raters.

    Args:
        choices: Of all raters.
        ties: Fit ν? Only where there are ties; without it ties are refused.
        sides: Fit γ? Where its estimate would be infinite, it is left out.
        confidence: Of the intervals.

    Raises:
        BadArgument: There are fewer than two conditions, not all can be ranked together, or there are ties and no ν.

    Example:
        >>> won = [Choice("a", "b", "left", n) for n in range(30)] + [Choice("a", "b", "right", n) for n in range(10)]
        >>> fit = fit_strengths(won, sides=False)
        >>> round(fit.strengths["a"].value - fit.strengths["b"].value, 3)  # ln 3
        1.099
    """
    from scipy.optimize import minimize

    groups = separate_groups(choices) if choices else []
    if len(groups) != 1:
        raise BadArgument(_apart(groups))
    has_ties = any(each.outcome == "tie" for each in choices)
    if has_ties and not ties:
        raise BadArgument("There are ties: fit them, or leave them out.")
    names = sorted(groups[0])
    problem = _Likelihood(choices, names, has_ties, sides)
    start = np.zeros(problem.size)
    best = minimize(
        problem.loss, start, jac=problem.gradient, hess=problem.hessian, method="trust-exact", options={"gtol": 1e-8}
    )
    if sides and abs(best.x[len(names)]) > _MOST_FOR_A_SIDE:
        return fit_strengths(choices, ties=ties, sides=False, confidence=confidence)
    spread = problem.sandwich(best.x)
    return _strengths(names, problem, np.asarray(best.x), spread, len(choices), confidence)


def _strengths(
    names: Sequence[str],
    problem: _Likelihood,
    x: Float[np.ndarray, " p"],
    spread: Float[np.ndarray, "p p"],
    count: int,
    confidence: float,
) -> Strengths:
    from scipy.stats import t

    quantile = float(t.ppf((1 + confidence) / 2, max(1, problem.raters - 1)))

    def estimate(place: int) -> Estimate:
        reach = quantile * float(np.sqrt(max(0.0, spread[place, place])))
        return Estimate(float(x[place]), float(x[place]) - reach, float(x[place]) + reach)

    left = estimate(len(names)) if problem.sides else None
    tie = float(np.exp(x[-1])) if problem.ties else 0.0
    return Strengths({name: estimate(place) for place, name in enumerate(names)}, left, tie, count)


class _Likelihood:
    """−log L of strengths, log γ and log ν, with its derivatives: a multinomial logit of three outcomes."""

    def __init__(self, choices: Sequence[Choice], names: Sequence[str], ties: bool, sides: bool) -> None:
        self.ties, self.sides, self.count = ties, sides, len(names)
        self.size = len(names) + sides + ties
        rows = np.arange(len(choices))
        self._x = np.zeros((len(choices), 3, self.size))
        left, right = (np.array([names.index(each[side]) for each in choices]) for side in (0, 1))
        for outcome, shares in enumerate(((1.0, 0.0), (0.0, 1.0), (0.5, 0.5))):
            self._x[rows, outcome, left] += shares[0]
            self._x[rows, outcome, right] += shares[1]
            if sides:
                self._x[:, outcome, len(names)] = shares[0]
        if ties:
            self._x[:, 2, -1] = 1
        self._outcome = np.array([_CODES[each.outcome] for each in choices])
        people: dict[Hashable, int] = {}
        self._rater = np.array([people.setdefault(each.rater, len(people)) for each in choices])
        self.raters = len(people)

    def _shares(self, x: Float[np.ndarray, " p"]) -> Float[np.ndarray, "n 3"]:
        utility = self._x @ x
        if not self.ties:
            utility[:, 2] = -np.inf
        utility -= utility.max(1, keepdims=True)
        shares = np.exp(utility)
        return np.asarray(shares / shares.sum(1, keepdims=True))

    def loss(self, x: Float[np.ndarray, " p"]) -> float:
        """Return −log L."""
        chosen = self._shares(x)[np.arange(len(self._outcome)), self._outcome]
        return float(-np.log(chosen).sum() + x[: self.count].sum() ** 2 / 2)

    def _scores(self, x: Float[np.ndarray, " p"]) -> Float[np.ndarray, "n p"]:
        """Return the gradient of each choice's −log P."""
        mean = np.einsum("no,nop->np", self._shares(x), self._x)
        return np.asarray(mean - self._x[np.arange(len(self._outcome)), self._outcome])

    def gradient(self, x: Float[np.ndarray, " p"]) -> Any:
        """Return its gradient."""
        whole = self._scores(x).sum(0)
        whole[: self.count] += x[: self.count].sum()
        return whole

    def hessian(self, x: Float[np.ndarray, " p"]) -> Any:
        """Return its second derivatives."""
        shares = self._shares(x)
        mean = np.einsum("no,nop->np", shares, self._x)
        whole = np.einsum("no,nop,noq->pq", shares, self._x, self._x) - mean.T @ mean
        whole[: self.count, : self.count] += 1
        return whole + _RIDGE * np.eye(self.size)

    def sandwich(self, x: Float[np.ndarray, " p"]) -> Float[np.ndarray, "p p"]:
        """Return the variance over raters: H⁻¹ (Σ s sᵀ) H⁻¹, with the correction of few ones."""
        scores = np.zeros((self.raters, self.size))
        np.add.at(scores, self._rater, self._scores(x))
        inverse = np.linalg.inv(self.hessian(x))
        correction = self.raters / max(1, self.raters - 1)
        return np.asarray(correction * inverse @ (scores.T @ scores) @ inverse)


def _names(choices: Sequence[Choice]) -> list[str]:
    return sorted({name for each in choices for name in (each.left, each.right)})


def _apart(groups: Sequence[Sequence[str]]) -> str:
    if not groups or sum(map(len, groups)) < 2:
        return "There is nothing to rank: give choices between two conditions at least."
    listed = "; ".join(", ".join(group) for group in groups)
    return f"These cannot be ranked together, since no chain of wins leads both ways between them: {listed}."
