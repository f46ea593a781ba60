"""What a rater sees, trial by trial: practice, qualification, then items with checks and repeats among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np

from turpentine.study.items import StudyItem
from turpentine.study.pictures import Still
from turpentine.study.spec import Question

Phase = Literal["practice", "qualification", "item", "attention", "repeat"]
COUNTED: tuple[Phase, ...] = ("item",)
"""Phases whose answers are results; those of others say how good a rater is."""

ANSWERS = {
    "rating": ("1", "2", "3", "4", "5"),
    "presence": ("yes", "no", "unsure"),
    "choice": ("left", "right", "tie"),
}
_IS_IT = {"rating": (("4", "5"), ("1", "2")), "presence": (("yes",), ("no",))}
"""Answers that are right for a real picture of the subject, and for one of nothing."""


@dataclass(frozen=True)
class Unit:
    """What is assigned to raters: an item, or two that are compared.

    Attributes:
        items: One or two.
        questions: About it.
    """

    items: tuple[StudyItem, ...]
    questions: tuple[Question, ...]

    @property
    def group(self) -> tuple[str, ...]:
        """The conditions, which every rater is to see about as often."""
        return tuple(item.condition for item in self.items)

    @property
    def id(self) -> str:
        """Of the items."""
        return "+".join(item.id for item in self.items)


@dataclass(frozen=True)
class StudyTrial:
    """One question.

    Attributes:
        phase: What it is for.
        question: The question.
        subject: What it is about.
        prompt: Of the picture.
        stills: One picture, or the left and the right one.
        unit: What it is of; None for a check.
        sides: Of a pair: the places of its items, from the left.
        right_answers: Of a check; () where nobody knows.
        explanation: Of practice, after the answer.
    """

    phase: Phase
    question: Question
    subject: str
    prompt: str
    stills: tuple[Still, ...]
    unit: Unit | None = None
    sides: tuple[int, ...] = (0,)
    right_answers: tuple[str, ...] = field(default=())
    explanation: str = ""

    @property
    def key(self) -> str:
        """What is asked, in words that a rater does not see."""
        return f"{self.question.name}:{self.unit.id if self.unit else self.phase}"


def units_of(items: Sequence[StudyItem], questions: Sequence[Question]) -> tuple[Unit, ...]:
    """Return what is to be rated: each picture, and each two of one subject, prompt and seed by two conditions."""
    singles = [each for each in questions if each.kind != "choice"]
    choices = [each for each in questions if each.kind == "choice"]
    units = [Unit((item,), chosen) for item in items if (chosen := _about(singles, (item,)))]
    alike: dict[tuple[str, str, int | None], list[StudyItem]] = {}
    for item in items:
        if item.is_about_its_subject:
            alike.setdefault((item.subject, item.prompt, item.seed), []).append(item)
    for group in alike.values():
        for pair in combinations(group, 2):
            if pair[0].condition != pair[1].condition and (chosen := _about(choices, pair)):
                units.append(Unit(pair, chosen))
    return tuple(units)


def _about(questions: Sequence[Question], items: Sequence[StudyItem]) -> tuple[Question, ...]:
    return tuple(
        each
        for each in questions
        if each.conditions is None or all(item.condition in each.conditions for item in items)
    )


def in_order(count: int, repeats: float, checks: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    """Return the order of a rater's items: ("item", n), ("repeat", n) well after it, and ("attention", n).

    Args:
        count: Items of the rater.
        repeats: Share of them that come twice.
        checks: Attention checks, spread over all.
        rng: Chance.
    """
    order: list[tuple[str, int]] = [("item", int(each)) for each in rng.permutation(count)]
    early = [number for _, number in order[: max(1, len(order) // 2)]]
    for number in rng.permutation(early)[: round(repeats * count)]:
        at = order.index(("item", int(number)))
        low = min(len(order), at + max(1, len(order) // 3))
        order.insert(int(rng.integers(low, len(order) + 1)), ("repeat", int(number)))
    for check in range(checks):
        part = len(order) / checks
        at = int((check + rng.uniform(0.2, 0.9)) * part)
        order.insert(min(at, len(order)), ("attention", check))
    return order


def trials_of_unit(unit: Unit, phase: Phase, rng: np.random.Generator) -> list[StudyTrial]:
    """Return the questions about an item, one after the other; the sides of a pair by chance."""
    sides = tuple(int(each) for each in rng.permutation(len(unit.items)))
    first = unit.items[0]
    stills = tuple(unit.items[each].still for each in sides)
    return [
        StudyTrial(phase, question, first.subject, first.prompt, stills, unit, sides) for question in unit.questions
    ]


def check_trial(
    phase: Phase, question: Question, subject: str, real: Still, nothing: Still, is_real: bool, is_left: bool
) -> StudyTrial:
    """Return a trial whose answer is known: a real picture of the subject, or one of nothing; or which of the two.

    Args:
        phase: What it is for.
        question: About the subject.
        subject: Of the real picture.
        real: An example of the subject.
        nothing: A picture of nothing.
        is_real: Is it the real one?
        is_left: Of a pair: is the real one on the left?
    """
    if question.kind == "choice":
        stills = (real, nothing) if is_left else (nothing, real)
        side = "left" if is_left else "right"
        why = f"The picture on the {side} is real. The other is noise."
        return StudyTrial(phase, question, subject, "", stills, None, (0, 1), (side,), why)
    yes, no = _IS_IT[question.kind]
    right_answers = yes if is_real else no
    names = {"4": "4 or 5", "1": "1 or 2"}
    above = "This is one of the pictures above." if question.examples else f"This is a real picture of {subject}."
    what = above if is_real else "This is noise, and no picture at all."
    why = f"{what} The answer is {names.get(right_answers[0], right_answers[0])}."
    return StudyTrial(phase, question, subject, "", (real if is_real else nothing,), None, (0,), right_answers, why)
