"""The effects of an edit: the numbers of the unedited model and of the edited one, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from turpentine.bench.metrics import Measure
from turpentine.bench.table import ALL, HITS, OTHERS, Table
from turpentine.core.errors import BadArgument
from turpentine.stats.intervals import Difference, Rate
from turpentine.tasks.groups import GROUPS, SUMMARIES

MOVED = Measure("mean", "moved")
"""How far pictures moved, by the judge "pixel change"."""


@dataclass(frozen=True)
class Effect:
    """The effect of an edit on the pictures of some cases.

    Attributes:
        group: Of the cases, or the name of a summary.
        label: Of the cases; "" for a whole group or more.
        pictures: How many there are.
        before: Rate of hits of the unedited model; None where no case has ground truth.
        after: Rate of hits of the edited model; None where no case has ground truth.
        difference: after − before, paired by picture.
        broken_before: Rate of blank pictures and noise of the unedited model; None where nothing was drawn.
        broken_after: Rate of blank pictures and noise of the edited model; None where nothing was drawn.
        collapsed: Share of prompts whose pictures became alike for all seeds, 0 to 1; None where there is one seed.
        moved: Mean absolute difference of the pixels of a picture before and after, 0 to 1; None where none was drawn.
        errors: Pictures of the edited model that could not be drawn or judged.
    """

    group: str
    label: str
    pictures: int
    before: Rate | None
    after: Rate | None
    difference: Difference | None
    broken_before: Rate | None
    broken_after: Rate | None
    collapsed: float | None
    moved: float | None
    errors: int

    def to_json(self) -> dict[str, Any]:
        """Return the numbers in types of JSON."""
        facts = {name: getattr(self, name) for name in ("pictures", "collapsed", "moved", "errors")}
        rates = {name: _rate_json(getattr(self, name)) for name in _RATES}
        return {**facts, **rates, "difference": None if self.difference is None else self.difference._asdict()}


@dataclass(frozen=True)
class Effects:
    """Before and after, at three levels.

    Attributes:
        labels: An effect for each label of each group, in order.
        groups: One for each group.
        summary: A few by name, see `groups.SUMMARIES`, of those that have cases: "erased", "scenes", "others" are the
            headline.
        overall: Of all pictures, each once, without rates of hits.
    """

    labels: tuple[Effect, ...]
    groups: tuple[Effect, ...]
    summary: Mapping[str, Effect]
    overall: Effect

    @classmethod
    def of(cls, table: Table) -> Effects:
        """Read the effects of the one edit of a table that has summaries.

        Raises:
            BadArgument: The table holds other lines than the unedited model's and one edited one's.
        """
        before, after = _two_lines(table)
        parts = {part: _effect(*part, before, after) for part in before}
        groups = [group for group in GROUPS if (group, "") in parts]
        summary = {
            name: parts[OTHERS if name == OTHERS else names[0], ""]
            for name, names in SUMMARIES.items()
            if set(names) & set(groups)
        }
        return cls(
            labels=tuple(effect for (group, label), effect in parts.items() if label),
            groups=tuple(parts[group, ""] for group in groups),
            summary=summary,
            overall=parts[ALL, ""],
        )

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The effects of the labels as a table; rates and intervals are 0 to 1."""
        return pl.DataFrame([_flat(effect) for effect in self.labels], infer_schema_length=None)

    def to_json(self) -> dict[str, Any]:
        """Return the summary, and the whole, in types of JSON."""
        return {name: effect.to_json() for name, effect in {**self.summary, "overall": self.overall}.items()}


_RATES = ("before", "after", "broken_before", "broken_after")
_Rows = Mapping[tuple[str, str], dict[str, dict[str, Any]]]


def _two_lines(table: Table) -> tuple[_Rows, _Rows]:
    """Return the rows of each line, by group and label, and then by measure."""
    lines = {is_edited: table.rows.filter((pl.col("method") != "") == is_edited) for is_edited in (False, True)}
    if any(rows["condition"].n_unique() != 1 for rows in lines.values()):
        raise BadArgument("The effects of an edit are of two lines: the unedited model, and the edited one.")
    before, after = ({part: _by_measure(rows, part) for part in _parts(rows)} for rows in lines.values())
    return before, after


def _parts(rows: pl.DataFrame) -> list[tuple[str, str]]:
    return rows.select("group", "label").unique(maintain_order=True).rows()


def _by_measure(rows: pl.DataFrame, part: tuple[str, str]) -> dict[str, dict[str, Any]]:
    group, label = part
    return {row["measure"]: row for row in rows.filter(group=group, label=label).iter_rows(named=True)}


def _effect(group: str, label: str, before: _Rows, after: _Rows) -> Effect:
    base, edited = before[group, label][str(HITS)], after[group, label][str(HITS)]
    moved = after[group, label].get(str(MOVED))
    has_difference = edited["diff"] is not None
    return Effect(
        group=group,
        label=label,
        pictures=edited["pictures"],
        before=_hit_rate(base),
        after=_hit_rate(edited),
        difference=Difference(edited["diff"], edited["diff_low"], edited["diff_high"]) if has_difference else None,
        broken_before=_broken_rate(base),
        broken_after=_broken_rate(edited),
        collapsed=edited["collapsed"],
        moved=moved["value"] if moved else None,
        errors=edited["errors"],
    )


def _hit_rate(row: Mapping[str, Any]) -> Rate | None:
    return Rate(row["hits"], row["judged"], (row["low"], row["high"])) if row["judged"] else None


def _broken_rate(row: Mapping[str, Any]) -> Rate | None:
    n = row["pictures"] - row["errors"]
    return Rate(round(row["broken"] * n), n) if n and row["broken"] is not None else None


def _rate_json(rate: Rate | None) -> dict[str, Any] | None:
    if rate is None:
        return None
    return {"hits": rate.hits, "n": rate.n, "rate": rate.value, "low": rate.low, "high": rate.high}


def _flat(effect: Effect) -> dict[str, Any]:
    row: dict[str, Any] = {"group": effect.group, "label": effect.label, "pictures": effect.pictures}
    for name in _RATES:
        rate = getattr(effect, name)
        for key in ("hits", "n", "value", "low", "high"):
            column = name if key == "value" else f"{name}_{key}"
            row[column] = None if rate is None else getattr(rate, key)
    for key in ("value", "low", "high"):
        column = "difference" if key == "value" else f"difference_{key}"
        row[column] = None if effect.difference is None else getattr(effect.difference, key)
    return {**row, "collapsed": effect.collapsed, "moved": effect.moved, "errors": effect.errors}
