"""A judge against people: of pictures that most people see the subject in, how many does the judge say so of?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from turpentine.core.atomic_files import write_text_whole
from turpentine.core.safe_text import safe_name
from turpentine.stats.intervals import Rate
from turpentine.study.spec import Question
from turpentine.study.study import Study

HIGH, LOW = 3.5, 2.5
"""Mean ratings from which on, and up to which, people see the subject, and do not."""


@dataclass(frozen=True)
class JudgeTable:
    """How often a judge is right, as people see it.

    Attributes:
        judge: Its name.
        concept: What it looks for.
        sensitivity: Of pictures that people see the concept in.
        specificity: Of the others.
        undecided: Pictures of which people are of two minds; they are in neither.
        plan: Hash of the study's plan.
    """

    judge: str
    concept: str
    sensitivity: Rate
    specificity: Rate
    undecided: int
    plan: str

    def content(self) -> dict[str, Any]:
        """Return what `turpentine audit --judge-error` reads."""
        return {
            "schema": 1,
            "judge": self.judge,
            "concept": self.concept,
            "sensitivity": [self.sensitivity.hits, self.sensitivity.n],
            "specificity": [self.specificity.hits, self.specificity.n],
            "plan": self.plan,
        }

    def write(self, folder: Path) -> Path:
        """Write it as a file of JSON, whole or not at all, and return its path.

        Raises:
            OSError: As the file system does.
        """
        path = folder / f"judge-error-{safe_name(self.concept)}.json"
        return write_text_whole(path, json.dumps(self.content(), indent=2) + "\n")


def judge_tables(study: Study, table: pl.DataFrame, excluded: Sequence[str] = ()) -> list[JudgeTable]:
    """Return how often the judge is right, for each subject; none where no picture was judged.

    People's word is the majority of yes and no to the first question of presence; without one, it is the mean rating of
    the first question about the subject, from 3.5 on or up to 2.5.

    Args:
        study: Of the answers.
        table: All answers; see `answers.answer_table`.
        excluded: Raters that are left out.
    """
    question = _question(study)
    if question is None:
        return []
    rows = table.filter(
        (pl.col("phase") == "item")
        & (pl.col("question") == question.name)
        & pl.col("judged").is_not_null()
        & ~pl.col("rater").is_in(list(excluded))
    )
    tables = []
    for (judge, subject), each in rows.group_by("judge", "subject", maintain_order=True):
        counted = _counted(str(judge), str(subject), each, question, study.hash)
        if counted is not None:
            tables.append(counted)
    return tables


def _question(study: Study) -> Question | None:
    about = [each for each in study.spec.questions if "{subject}" in each.text]
    for kind in ("presence", "rating"):
        for each in about:
            if each.kind == kind:
                return each
    return None


def _counted(judge: str, subject: str, rows: pl.DataFrame, question: Question, plan: str) -> JudgeTable | None:
    """Return the counts over pictures; None unless people see the subject in one, and do not in another."""
    counts = {True: [0, 0], False: [0, 0]}
    undecided = 0
    for _, answers in rows.group_by("unit", maintain_order=True):
        verdict = _verdict(answers["value"].to_list(), question)
        if verdict is None:
            undecided += 1
            continue
        counts[verdict][0] += answers["judged"][0] is verdict
        counts[verdict][1] += 1
    if not counts[True][1] or not counts[False][1]:
        return None
    seen, unseen = (Rate(hits, n) for hits, n in (counts[True], counts[False]))
    return JudgeTable(judge, subject, seen, unseen, undecided, plan)


def _verdict(values: Sequence[str], question: Question) -> bool | None:
    """Return whether people see it, None where they are of two minds."""
    if question.kind == "rating":
        mean = sum(map(int, values)) / len(values)
        return True if mean >= HIGH else False if mean <= LOW else None
    yes, no = values.count("yes"), values.count("no")
    return None if yes == no else yes > no
