"""What a study takes and what it can show, before anybody takes part."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from turpentine.stats.rating_power import (
    detectable_difference,
    detectable_preference,
    preference_power,
    rating_power,
    strength_errors,
)
from turpentine.study.spec import Question
from turpentine.study.study import Study

_RATE_SD = 0.5
_POINTS_PER_RATE = 4
"""A difference of ratings is of 4 points, and one of rates of 1."""


@dataclass(frozen=True)
class Power:
    """What the answers to a question can show of two conditions.

    Attributes:
        question: Its name.
        is_rating: Are differences in points of 1 to 5, or are they of the rate of yes?
        items: Pictures of a condition, of the one that has fewest.
        answers: To them.
        detectable: The difference that is shown with a chance of 80 %.
        difference: The plan's.
        power: The chance that this one is shown.
    """

    question: str
    is_rating: bool
    items: int
    answers: int
    detectable: float
    difference: float
    power: float


@dataclass(frozen=True)
class ChoicePower:
    """What the answers to a question of which of two can show of the two conditions that are known least well.

    Attributes:
        question: Its name.
        conditions: The two.
        pairs: Of pictures, of all conditions.
        answers: To them.
        detectable: The share of those who see a difference that must prefer one, for a chance of 80 % that it is shown;
            1 where no chain of pairs leads from one condition to the other.
        preference: The plan's.
        power: The chance that this one is shown.
    """

    question: str
    conditions: tuple[str, str]
    pairs: int
    answers: int
    detectable: float
    preference: float
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
        powers: Of ratings and of yes and no, by question.
        choices: Of which of two, by question.
    """

    items: dict[str, int]
    pairs: int
    raters: int
    trials: int
    minutes: float
    hours: float
    powers: tuple[Power, ...]
    choices: tuple[ChoicePower, ...]

    def numbers(self) -> dict[str, Any]:
        """Return all numbers, as JSON has them."""
        powers, choices = ([vars(each) for each in some] for some in (self.powers, self.choices))
        return {**vars(self), "powers": powers, "choices": choices}


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
        tuple(_power(study, each) for each in spec.questions if each.kind != "choice"),
        tuple(_choice_power(study, each) for each in spec.questions if each.kind == "choice"),
    )


def _power(study: Study, question: Question) -> Power:
    """Return what a question can show of the two conditions, of what each was to forget, that have fewest pictures."""
    spec = study.spec
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
        is_rating,
        fewest,
        fewest * spec.ratings,
        detectable_difference(fewest, spec.ratings, sd, spec.power.icc),
        difference,
        rating_power(difference, fewest, spec.ratings, sd, spec.power.icc),
    )


def _choice_power(study: Study, question: Question) -> ChoicePower:
    """Return what a question can show of the two conditions between which the error is largest."""
    spec = study.spec
    pairs = Counter(tuple(sorted(unit.group)) for unit in study.units if question in unit.questions)
    errors = strength_errors({(a, b): n for (a, b), n in pairs.items()}, spec.ratings, spec.power.ties, spec.power.icc)
    conditions, error = max(errors.items(), key=lambda each: each[1])
    count = sum(pairs.values())
    return ChoicePower(
        question.name,
        conditions,
        count,
        count * spec.ratings,
        detectable_preference(error),
        spec.power.preference,
        preference_power(spec.power.preference, error),
    )
