"""All answers of a study as a table, with what each was about; and as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from turpentine.core.atomic_files import write_text_whole, write_whole
from turpentine.core.csv_text import csv_text

if TYPE_CHECKING:
    from turpentine.study.store import Answer, Rater
    from turpentine.study.study import Study

Form = Literal["parquet", "csv", "json"]
FORMS: tuple[Form, ...] = ("parquet", "csv", "json")

COLUMNS: Mapping[str, Any] = {
    "plan": pl.String,
    "rater": pl.String,
    "slot": pl.Int64,
    "state": pl.String,
    "trial": pl.Int64,
    "phase": pl.String,
    "question": pl.String,
    "kind": pl.String,
    "unit": pl.String,
    "condition": pl.String,
    "role": pl.String,
    "subject": pl.String,
    "erased": pl.String,
    "prompt": pl.String,
    "seed": pl.Int64,
    "other_condition": pl.String,
    "value": pl.String,
    "milliseconds": pl.Int64,
    "right": pl.Boolean,
    "judge": pl.String,
    "judged": pl.Boolean,
}
"""unit is the item, or two with a plus; of a pair, condition is on the left and other_condition on the right; right is
of checks alone."""


def answer_table(study: Study, raters: Sequence[Rater], answers: Sequence[Answer]) -> pl.DataFrame:
    """Return a row for each answer, in the order of slots and trials; see `COLUMNS`.

    Args:
        study: Of the answers.
        raters: Of the answers.
        answers: From `StudyStore.everything`.
    """
    by_id = {rater.id: rater for rater in raters}
    rows = [_row(study, by_id[answer.rater], answer) for answer in answers]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def _row(study: Study, rater: Rater, answer: Answer) -> tuple[Any, ...]:
    trial = study.trials(rater.slot)[answer.trial]
    items = [trial.unit.items[side] for side in trial.sides] if trial.unit else []
    item = items[0] if items else None
    return (
        study.hash,
        rater.id,
        rater.slot,
        rater.state,
        answer.trial,
        trial.phase,
        trial.question.name,
        trial.question.kind,
        trial.unit.id if trial.unit else None,
        item.condition if item else None,
        item.role if item else None,
        trial.subject,
        item.erased if item else None,
        trial.prompt,
        item.seed if item else None,
        items[1].condition if len(items) > 1 else None,
        answer.value,
        answer.milliseconds,
        answer.value in trial.right_answers if trial.right_answers else None,
        item.judge if item else None,
        item.judged if item else None,
    )


def blind_names(study: Study) -> dict[str, str]:
    """Return a letter for each condition, by chance from the study's seed: to look at results without knowing.

    Names go on after Z with AA.
    """
    import numpy as np

    names = sorted({item.condition for item in study.items})
    order = np.random.default_rng([study.spec.seed, 26]).permutation(len(names))
    return {names[place]: _letters(number) for number, place in enumerate(order)}


def blinded(table: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return the table with letters in the place of conditions, and without what would give them away."""
    letters = [pl.col(each).replace(names) for each in ("condition", "other_condition")]
    return table.with_columns(*letters).drop("role", "unit")


def write_answers(table: pl.DataFrame, study: Study, folder: Path, form: Form = "parquet") -> list[Path]:
    """Write the answers and the plan that they are of, each file whole or not at all, and return their paths.

    Args:
        table: The answers.
        study: Whose plan is written beside, with its hash.
        folder: Where to.
        form: Of the answers.

    Raises:
        OSError: As the file system does.
    """
    path, plan = folder / f"answers.{form}", folder / "plan.json"
    with write_whole(path) as aside:
        _WRITERS[form](table, aside)
    write_text_whole(plan, json.dumps(_plan(study), indent=2))
    return [path, plan]


def _plan(study: Study) -> dict[str, Any]:
    return {
        "schema": 1,
        "plan": study.hash,
        "name": study.name,
        "spec": study.spec.model_dump(mode="json"),
        "items": [item.id for item in study.items],
    }


def _write_json(table: pl.DataFrame, path: Path) -> None:
    path.write_text(json.dumps(table.to_dicts(), indent=1), encoding="utf-8")


_WRITERS: Mapping[Form, Callable[[pl.DataFrame, Path], Any]] = {
    "parquet": lambda table, path: table.write_parquet(path),
    "csv": lambda table, path: path.write_text(csv_text(table), encoding="utf-8"),
    "json": _write_json,
}


def _letters(number: int) -> str:
    """Return A, B, …, Z, AA, AB, …

    Example:
        >>> _letters(0), _letters(25), _letters(26)
        ('A', 'Z', 'AA')
    """
    return "".join(reversed(list(_digits(number))))


def _digits(number: int) -> Iterator[str]:
    while number >= 0:
        yield chr(ord("A") + number % 26)
        number = number // 26 - 1
