"""Which of a judge's columns a question is about."""

from __future__ import annotations

from turpentine.judges.base import Judge, sought


def judged_column(judge: Judge, concept: str) -> str:
    """Return the judge's column with a label that the concept names; else its first."""
    target = sought(judge, concept)
    return target.column if target else next(iter(judge.columns))
