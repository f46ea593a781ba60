"""Whose answers are left out, by the rules that the plan settled before the first answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from turpentine.core.formatting import counted
from turpentine.study.spec import Exclusions
from turpentine.study.study import Study

WITHIN = 1
"""Two ratings of one picture by one person that are no further apart are alike."""


def excluded_raters(table: pl.DataFrame, study: Study) -> dict[str, tuple[str, ...]]:
    """Return the raters whose answers are left out, with the reasons.

    Args:
        table: All answers; see `answers.answer_table`.
        study: Whose rules they are.
    """
    rules = study.spec.exclusions
    reasons = {
        str(rater): tuple(_reasons(rows, rules, study))
        for (rater,), rows in table.group_by("rater", maintain_order=True)
    }
    return {rater: why for rater, why in reasons.items() if why}


def _reasons(rows: pl.DataFrame, rules: Exclusions, study: Study) -> list[str]:
    items = rows.filter(pl.col("phase") == "item")
    why = []
    if rows["state"][0] == "unqualified":
        why.append("not qualified")
    wrong = rows.filter((pl.col("phase") == "attention") & ~pl.col("right"))
    if rules.attention is not None and len(wrong) > rules.attention:
        why.append(f"{counted(len(wrong), 'attention check')} answered wrongly")
    if len(items):
        median = float(str(items["milliseconds"].median()))
        if median < rules.fastest:
            why.append(f"too fast, {median:.0f} ms")
        most = max(Counter(zip(items["question"], items["value"], strict=True)).values()) / len(items)
        if most > rules.straight:
            why.append(f"{100 * most:.0f} % one and the same answer")
    alike = repeat_pairs(rows)
    if alike and sum(_alike(*pair) for pair in alike) < rules.repeats * len(alike):
        why.append("repeated items answered otherwise")
    expected = sum(trial.phase == "item" for trial in study.trials(int(rows["slot"][0])))
    if len(items) < rules.complete * expected and rows["state"][0] != "unqualified":
        why.append(f"{len(items)} of {expected} answers given")
    return why


def repeat_pairs(rows: pl.DataFrame) -> list[tuple[str, str, str]]:
    """Return for each repeated item the kind of its question, and the first and the second answer.

    Of a pair that changed sides, the second answer is turned round.
    """
    first = {
        (row["rater"], row["question"], row["unit"]): row
        for row in rows.filter(pl.col("phase") == "item").iter_rows(named=True)
    }
    pairs = []
    for row in rows.filter(pl.col("phase") == "repeat").iter_rows(named=True):
        before = first.get((row["rater"], row["question"], row["unit"]))
        if before is not None:
            is_turned = row["kind"] == "choice" and row["condition"] != before["condition"]
            pairs.append((row["kind"], before["value"], _TURNED.get(row["value"], "") if is_turned else row["value"]))
    return pairs


_TURNED: Mapping[str, str] = {"left": "right", "right": "left", "tie": "tie"}


def _alike(kind: str, one: str, other: str) -> bool:
    return abs(int(one) - int(other)) <= WITHIN if kind == "rating" else one == other
