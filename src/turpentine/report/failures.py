"""The failures of a bench, which a page shows before anything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from turpentine.bench.lines import UNEDITED, Line, Number, amplifies
from turpentine.core.formatting import percent
from turpentine.tasks.groups import is_preserved

LIMIT = 8
"""Failures of a kind on a page, the worst first."""


@dataclass(frozen=True)
class Failure:
    """One thing that went wrong.

    Attributes:
        who: The method and the concept.
        sentence: What went wrong, as the end of a sentence.
    """

    who: str
    sentence: str


@dataclass(frozen=True)
class Failures:
    """Failures of a kind.

    Attributes:
        name: Of the kind.
        what: What the kind means, in a sentence.
        worst: Those that a page shows, the worst first.
        all: How many there are.
    """

    name: str
    what: str
    worst: tuple[Failure, ...]
    all: int


def failures(lines: Sequence[Line], results: pl.DataFrame) -> list[Failures]:
    """Return the kinds of failures that there are any of: errors, broken models, edits without effect, and damage.

    Args:
        lines: Of the table.
        results: As `results.parquet` has them.
    """
    errors = _kind("Not drawn or not judged", "These pictures are in no rate.", _errors(results))
    return [kind for kind in (errors, *_kinds(_edited(lines), lines)) if kind.all]


def failures_of(line: Line, lines: Sequence[Line]) -> list[Failures]:
    """Return the failures of one line of the table, without errors.

    Args:
        line: Whose failures.
        lines: All lines of the table, among them the unedited model's.
    """
    return [kind for kind in _kinds([line], lines) if kind.all]


def _kinds(edited: Sequence[Line], lines: Sequence[Line]) -> Iterator[Failures]:
    is_amplified = amplifies([number.column for line in lines for number in line.numbers if number])
    yield _kind(
        "Broken" if is_amplified else "Broken, not erased",
        "A model that draws nothing shows no concept either.",
        _broken(edited, lines),
    )
    yield _kind("No effect", "What was to change is as before, as far as the pictures tell.", _unchanged(edited))
    yield _kind("Damage", "What was to stay is worse than before, beyond chance.", _damage(edited))


def _kind(name: str, what: str, candidates: Iterator[Failure]) -> Failures:
    listed = list(candidates)
    return Failures(name, what, tuple(listed[:LIMIT]), len(listed))


def _errors(results: pl.DataFrame) -> Iterator[Failure]:
    """Yield each error of a method and concept once, with the number of its pictures."""
    failed = results.filter(pl.col("error").is_not_null())
    parts = failed.group_by("method", "concept", "error", maintain_order=True).agg(
        pl.col("prompt").first(), pl.col("seed").first(), pl.len()
    )
    for method, concept, error, prompt, seed, count in parts.sort("len", descending=True).iter_rows():
        where = f"“{prompt}”, seed {seed}" + (f", and {count - 1} more" if count > 1 else "")
        yield Failure(_who(method or UNEDITED, concept), f"{error} ({where})")


def _broken(edited: Sequence[Line], lines: Sequence[Line]) -> Iterator[Failure]:
    """Yield lines with more blank pictures, noise or collapsed prompts than the unedited model has."""
    before = {(line.model, line.concept): line for line in lines if line.is_unedited}
    candidates = []
    for line in edited:
        base = before.get((line.model, line.concept))
        broken, collapsed = (_more(line, base, name) for name in ("broken", "collapsed"))
        if broken or collapsed:
            candidates.append((line, ", ".join(filter(None, [broken, collapsed]))))
    for line, sentence in sorted(candidates, key=lambda each: -max(each[0].broken or 0, each[0].collapsed or 0)):
        yield Failure(_who(line.method, line.concept), sentence)


_BROKEN = {"broken": "blank or noise: {}", "collapsed": "one picture for all seeds of a prompt: {}"}


def _more(line: Line, base: Line | None, name: str) -> str:
    """Return how much of a fault there is, if there is more of it than in the unedited model."""
    value, before = getattr(line, name), (getattr(base, name) if base else None) or 0
    if value is None or value <= before:
        return ""
    return _BROKEN[name].format(f"{percent(value)}, {percent(before)} before")


def _unchanged(edited: Sequence[Line]) -> Iterator[Failure]:
    candidates = [
        (line, number)
        for line in edited
        for number in line.numbers
        if number and not is_preserved(number.column.group) and number.column.better and number.diff is not None
        if number.tone != "gone"
    ]
    for line, number in sorted(candidates, key=lambda each: -each[1].value):
        yield Failure(_who(line.method, line.concept), _sentence(number))


def _damage(edited: Sequence[Line]) -> Iterator[Failure]:
    candidates = [
        (line, number)
        for line in edited
        for number in line.numbers
        if number and is_preserved(number.column.group) and number.tone == "worse"
    ]
    for line, number in sorted(candidates, key=lambda each: -abs(each[1].diff or 0)):
        yield Failure(_who(line.method, line.concept), _sentence(number))


def _edited(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if not line.is_unedited]


def _sentence(number: Number) -> str:
    span = f" ({number.span})" if number.span else ""
    change = f", {number.change} ({number.change_span})" if number.change_span else ""
    return f"{number.column.heading}: {number.text}{span}{change}"


def _who(method: str, concept: str) -> str:
    return f"{method} of {concept}" if concept else method
