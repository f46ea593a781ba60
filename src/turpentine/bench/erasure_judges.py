"""The judges of an erasure: the emoji world's judge, CLIP as a zero-shot judge, or given ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from turpentine.bench.effects import MOVED
from turpentine.bench.metrics import Measure
from turpentine.bench.table import HITS
from turpentine.concepts import Concept
from turpentine.judges import EmojiJudge, Judge, PictureStatistics, judge
from turpentine.judges.base import Sought, sought
from turpentine.judges.pixel_change import PixelChange
from turpentine.judges.towers import CLIP
from turpentine.judges.worlds import world_of_model
from turpentine.judges.zero_shot import ZeroShot
from turpentine.models import Model
from turpentine.tasks.cases import Case
from turpentine.tasks.erasure_cases import contrast_labels, erasure_cases, plain_cases, with_truth
from turpentine.tasks.groups import GROUPS
from turpentine.tasks.pairs import pair_cases

ALWAYS = (PictureStatistics, PixelChange)
"""Judges of the pixels alone, which look at the pictures of every erasure."""


def zero_shot_judge(concepts: Sequence[Concept], **settings: Any) -> ZeroShot:
    """Return CLIP as a judge of whether pictures show the concepts, or a neighbour or their anchor.

    Args:
        concepts: What is erased; see `contrast_labels` for what their pictures are held against.
        settings: Of `ZeroShot`, in the place of its defaults.

    Raises:
        UnknownName: It has no such setting; the nearest are offered.
        BadArgument: A setting is of another type, or out of range.
    """
    given = {"labels": contrast_labels(concepts), "model": CLIP, **settings}
    return cast(ZeroShot, judge(ZeroShot.name, **given))


def default_judge(model: Model, concepts: Sequence[Concept]) -> Judge | None:
    """Return the judge of a model's pictures where none is given.

    The emoji world's judge for a model of that world; else CLIP as a zero-shot judge, if its weights are here. None
    where neither can judge, because nothing is fetched unasked.
    """
    if world_of_model(model):
        return EmojiJudge()
    clip = zero_shot_judge(concepts)
    return None if clip.download else clip


def cases_for(
    model: Model, concepts: Sequence[Concept], judges: Sequence[Judge], *, with_pairs: bool = False
) -> list[Case]:
    """Return the cases that a model draws before and after.

    Args:
        model: The model.
        concepts: What is erased.
        judges: They decide which cases get ground truth.
        with_pairs: Also ask for two objects together, where a judge can name both: one with a column such as
            object_also.
    """
    cases = erasure_cases(concepts) if world_of_model(model) else plain_cases(concepts)
    columns = {name: column for judge in judges for name, column in judge.columns.items()}

    def places(text: str) -> Iterator[Sought]:
        named = (place for judge in judges if (place := sought(judge, text)))
        return (place for place in named if not columns[place.column].is_number)

    def place_of_two(text: str) -> Sought | None:
        return next((place for place in places(text) if f"{place.column}_also" in columns), None)

    judged = with_truth(cases, columns, lambda text: next(places(text), None))
    pairs = pair_cases(concepts, place_of_two) if with_pairs else []
    return sorted([*judged, *pairs], key=lambda case: list(GROUPS).index(case.group))


def why_no_pairs(cases: Sequence[Case]) -> str:
    """Return the sentence that two objects together are not asked for; "" where they are, or nothing is judged.

    Args:
        cases: As `cases_for` returns them, with pairs.
    """
    if any(case.group == "pair" for case in cases) or all(case.attribute is None for case in cases):
        return ""
    return "Two objects together are not asked for: no judge here can name both in one picture."


def measures_for(judges: Sequence[Judge], more: Sequence[Measure] = ()) -> list[Measure]:
    """Return what is counted: hits, how far pictures moved, every number that a judge prefers one way, and more.

    Args:
        judges: Of the pictures.
        more: Other measures.

    Raises:
        UnknownName: A measure is of a column that no judge has.
        BadArgument: A measure cannot be of its column.
    """
    columns = {name: column for judge in judges for name, column in judge.columns.items()}
    numbers = [Measure("mean", name) for name, column in columns.items() if column.is_number and column.direction]
    return list(dict.fromkeys([HITS, MOVED, *(one.checked(columns) for one in [*numbers, *more])]))
