"""A study: its plan with its pictures, and what each rater sees, which the plan's hash and a number decide alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest
from turpentine.core.suggest import offer
from turpentine.study.assignment import blocks
from turpentine.study.items import StudyItem, examples_of, items_of, subjects_of
from turpentine.study.pictures import Still, noise_still
from turpentine.study.spec import Question, StudySpec, read_plan
from turpentine.study.trials import StudyTrial, Unit, check_trial, in_order, trials_of_unit, units_of

_CHECK_SEED = 77_001


@dataclass(frozen=True, eq=False)
class Study:
    """A plan with its pictures.

    Attributes:
        name: Of the file, without its ending.
        spec: Its content.
        items: What is rated.
        examples: Real pictures of each subject.
    """

    name: str
    spec: StudySpec
    items: tuple[StudyItem, ...]
    examples: Mapping[str, Sequence[Still]]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the plan and of all pictures: answers to another are answers to something else."""
        pictures = {subject: [still.id for still in stills] for subject, stills in self.examples.items()}
        content = self.spec.model_dump(mode="json", exclude={"items"})
        return digest(["study", content, [item.id for item in self.items], pictures])

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """What is assigned to raters."""
        return units_of(self.items, self.spec.questions)

    @cached_property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """The units of each rater, by number."""
        spec = self.spec
        return blocks([unit.group for unit in self.units], spec.ratings, spec.items_per_rater, spec.seed)

    @property
    def raters(self) -> int:
        """How many raters it takes."""
        return len(self.blocks)

    @cached_property
    def stills(self) -> Mapping[str, Still]:
        """All pictures by the name that they have on the page, which tells nothing."""
        shown_stills = [item.still for item in self.items] + [each for one in self.examples.values() for each in one]
        return {self.name_of(still): still for still in [*shown_stills, *([self._nothing] if self._checked else [])]}

    def name_of(self, still: Still) -> str:
        """Return the name of a picture on the page."""
        return digest([self.hash, still.id])[:24]

    def check_pictures(self) -> None:
        """Check that each picture can be shown.

        Raises:
            BadArgument: One cannot; its file is named.
        """
        for still in self.stills.values():
            still.image()

    def trials(self, slot: int) -> tuple[StudyTrial, ...]:
        """Return what the rater with a number sees, in order.

        Args:
            slot: From 0 to `raters` − 1.
        """
        return _trials(self, slot)

    @cached_property
    def _checked(self) -> list[Question]:
        """The questions that a real picture of the subject has a known answer to."""
        questions = [each for each in self.spec.questions if "{subject}" in each.text]
        if not questions and (self.spec.practice or self.spec.attention or self.spec.qualification):
            raise BadArgument(
                "Checks need a question about the {subject}: write it into a text, or set practice: 0, attention: 0 "
                "and no qualification."
            )
        return questions

    @cached_property
    def _nothing(self) -> Still:
        sizes = [still.image().size for stills in self.examples.values() for still in stills[:1]]
        return noise_still(sizes[0] if sizes else (64, 64), _CHECK_SEED)

    def check(self, phase: Any, number: int, rng: np.random.Generator) -> StudyTrial:
        """Return a trial with a known answer, by chance; real pictures and noise take turns."""
        subjects = [subject for subject, stills in self.examples.items() if stills]
        subject = subjects[int(rng.integers(len(subjects)))]
        stills = self.examples[subject]
        question = self._checked[number % len(self._checked)]
        count = min(len(stills), question.examples) or len(stills)
        real = stills[int(rng.integers(count))]
        turn = number // len(self._checked) + int(rng.integers(2)) * (phase == "attention")
        return check_trial(phase, question, subject, real, self._nothing, turn % 2 == 0, bool(rng.integers(2)))


@lru_cache(maxsize=4096)
def _trials(study: Study, slot: int) -> tuple[StudyTrial, ...]:
    rng = np.random.default_rng([study.spec.seed, slot, int(study.hash[:8], 16)])
    spec = study.spec
    units = [study.units[each] for each in study.blocks[slot]]
    first = [study.check("practice", number, rng) for number in range(spec.practice)]
    count = spec.qualification.trials if spec.qualification else 0
    first += [study.check("qualification", number, rng) for number in range(count)]
    for kind, number in in_order(len(units), spec.repeats, spec.attention, rng):
        if kind == "attention":
            first.append(study.check("attention", number, rng))
        else:
            first += trials_of_unit(units[number], "item" if kind == "item" else "repeat", rng)
    return tuple(first)


def read_study(name: str, overrides: Sequence[str] = ()) -> Study:
    """Read a study's file and find its pictures.

    Args:
        name: A path, or the name of a study that ships.
        overrides: `key=value`, in the place of what the file says.

    Raises:
        BadArgument: A value cannot be as it is, or pictures are missing; file and line are named.
        UnknownName: There is no such file or study.
    """
    spec, document, folder = read_plan(name, overrides)
    try:
        items = items_of(spec, folder)
    except BadArgument as error:
        raise type(error)(f"{document.place(('items',))}: {error}") from error
    try:
        examples = examples_of(spec.examples, subjects_of(items), folder)
    except BadArgument as error:
        raise type(error)(f"{document.place(('examples',))}: {error}") from error
    study = Study(Path(name).stem, spec, items, examples)
    conditions = dict.fromkeys(item.condition for item in items)
    for number, question in enumerate(spec.questions):
        for condition in question.conditions or ():
            if condition not in conditions:
                place = document.place(("questions", number, "conditions"))
                raise BadArgument(f"{place}: there are no pictures of {condition!r}: {offer(condition, conditions)}")
        if not any(question in unit.questions for unit in study.units):
            raise BadArgument(f"{document.place(('questions', number))}: {_is_about_nothing(question)}")
    return study


def _is_about_nothing(question: Question) -> str:
    if question.kind == "choice":
        return (
            f"{question.name} compares pictures of one subject, prompt and seed by two conditions, and there are no "
            "two: add some, or leave the question out."
        )
    return f"{question.name} is about none of the pictures: see its conditions."
