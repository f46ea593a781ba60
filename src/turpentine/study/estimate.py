"""What a study takes and what it can show, before anybody takes part."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from turpentine.stats.rating_power import detectable_difference, rating_power
from turpentine.study.study import Study

_RATE_SD = 0.5
_POINTS_PER_RATE = 4
"""A difference of ratings is of 4 points, and one of rates of 1."""


@dataclass(frozen=True)
class Power:
    """What the answers to a question can show of two conditions.

    Attributes:
        question: Its name.
        items: Pictures of a condition, of the one that has fewest.
        answers: To them.
        detectable: The difference that is shown with a chance of 80 %.
        difference: The plan's.
        power: The chance that this one is shown.
    """

    question: str
    items: int
    answers: int
    detectable: float
    difference: float
    power: float


@dataclass(frozen=True)
class Needs:
    """What a study takes.

    Attributes:
        items: Pictures by condition.
        pairs: Pairs that are compared.
        raters: How many it takes.
        trials: Answers of a rater, of the one with most.
        minutes: Of a rater.
        hours: Of all raters.
        powers: By question; choices have none here, since what they show depends on the strengths.
    """

    items: dict[str, int]
    pairs: int
    raters: int
    trials: int
    minutes: float
    hours: float
    powers: tuple[Power, ...]

    def numbers(self) -> dict[str, Any]:
        """Return all numbers, as JSON has them."""
        return {**vars(self), "powers": [vars(each) for each in self.powers]}


def needs_of(study: Study) -> Needs:
    """Return what a study takes and can show.

    Args:
        study: The study.
    """
    spec = study.spec
    lengths = [len(study.trials(slot)) for slot in range(study.raters)]
    return Needs(
        dict(Counter(item.condition for item in study.items)),
        sum(len(unit.items) > 1 for unit in study.units),
        study.raters,
        max(lengths),
        max(lengths) * spec.seconds / 60,
        sum(lengths) * spec.seconds / 3600,
        tuple(_power(study, number) for number, each in enumerate(spec.questions) if each.kind != "choice"),
    )


def _power(study: Study, number: int) -> Power:
    """Return what a question can show of the two conditions, of what each was to forget, that have fewest pictures."""
    spec, question = study.spec, study.spec.questions[number]
    counts = Counter(
        item.condition
        for unit in study.units
        for item in unit.items
        if question in unit.questions and item.is_about_its_subject
    )
    fewest = min(counts.values(), default=1)
    is_rating = question.kind == "rating"
    sd = spec.power.sd if is_rating else _RATE_SD
    difference = spec.power.difference if is_rating else spec.power.difference / _POINTS_PER_RATE
    return Power(
        question.name,
        fewest,
        fewest * spec.ratings,
        detectable_difference(fewest, spec.ratings, sd, spec.power.icc),
        difference,
        rating_power(difference, fewest, spec.ratings, sd, spec.power.icc),
    )
