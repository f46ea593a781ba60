"""The lines of a table: a number for each group of cases and measure, and lines pooled over several concepts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from turpentine.bench.table import HITS, Table
from turpentine.core import formatting as numbers
from turpentine.tasks.groups import GROUPS, heading, is_preserved

UNEDITED = "unedited"
"""What the model as it is, is called in the place of a method."""


@dataclass(frozen=True)
class TableColumn:
    """A group of cases and a measure.

    Attributes:
        group: Name of the group.
        measure: Such as "rate of hit".
        better: Which way is better; None where neither is.
        is_rate: Whether the values are rates.
    """

    group: str
    measure: str
    better: Literal["lower", "higher"] | None
    is_rate: bool

    @property
    def heading(self) -> str:
        """The heading: the group, and the measure unless that is the rate of hits."""
        name = heading(self.group)
        return name if self.measure == str(HITS) else f"{name}: {self.measure}"

    def text(self, value: float) -> str:
        """Return a value as readers have it: a rate in percent, another one with three digits."""
        return numbers.percent(value) if self.is_rate else f"{value:.3g}"

    def change(self, value: float) -> str:
        """Return a difference of two values with its sign."""
        if self.is_rate:
            return numbers.points(value)
        return f"{value:+.3g}".replace("-", "−") if value else "0"


@dataclass(frozen=True)
class Number:
    """A value of a column, its interval, and its difference from the unedited model's.

    Attributes:
        column: Whose value it is.
        value: The value.
        low: Lower end of its interval; None where there is none.
        high: Upper end of its interval; None where there is none.
        diff: Difference from the unedited model's value; None where there is none.
        diff_low: Lower end of the difference's interval; None where there is none.
        diff_high: Upper end of the difference's interval; None where there is none.
        hits: Of a rate; None for another measure.
        pictures: Of the cases.
        judged: Pictures that the value is of.
        errors: Pictures that could not be drawn or judged.
    """

    column: TableColumn
    value: float
    low: float | None
    high: float | None
    diff: float | None
    diff_low: float | None
    diff_high: float | None
    hits: int | None
    pictures: int
    judged: int
    errors: int

    @property
    def text(self) -> str:
        """The value."""
        return self.column.text(self.value)

    @property
    def span(self) -> str:
        """Its interval, such as `1–7`; "" where there is none."""
        return _between(self.column, self.low, self.high, "–", self.column.text)

    @property
    def change(self) -> str:
        """The difference, such as `−83`; "" where there is none."""
        return "" if self.diff is None else self.column.change(self.diff)

    @property
    def change_span(self) -> str:
        """The difference's interval, such as `−91 to −72`; "" where there is none."""
        return _between(self.column, self.diff_low, self.diff_high, " to ", self.column.change)

    @property
    def tone(self) -> str:
        """Whether the difference is beyond chance, as a class of the page: gone, better, worse or even."""
        if self.diff_low is None or self.diff_high is None or self.column.better is None:
            return "even"
        sign = 1 if self.column.better == "higher" else -1
        worst, best = sorted((sign * self.diff_low, sign * self.diff_high))
        good = "better" if is_preserved(self.column.group) else "gone"
        return good if worst > 0 else "worse" if best < 0 else "even"


@dataclass(frozen=True)
class Line:
    """A model, edited or not, and its numbers.

    Attributes:
        conditions: Ids of the lines of the table that it stands for.
        model: Name of the model.
        method: Name of the method; UNEDITED for the model as it is.
        concept: What is erased.
        numbers: One for each column, None where the line has none.
        broken: Share of blank pictures and noise, 0 to 1.
        collapsed: Share of prompts whose pictures are alike for all seeds, 0 to 1.
        errors: Pictures that could not be drawn or judged.
        protocols: Digests of the protocols.
        seconds: Time that making the edits took; None without one.
        bytes: Size of the edits; None without one.
    """

    conditions: tuple[str, ...]
    model: str
    method: str
    concept: str
    numbers: tuple[Number | None, ...]
    broken: float | None
    collapsed: float | None
    errors: int
    protocols: tuple[str, ...]
    seconds: float | None
    bytes: int | None

    @property
    def is_unedited(self) -> bool:
        """Whether it is the model as it is."""
        return self.method == UNEDITED


def columns(table: Table) -> list[TableColumn]:
    """Return the table's groups and measures, groups in their order."""
    kinds = table.groups.group_by("group", "measure", maintain_order=True).agg(
        pl.col("better").first(), pl.col("hits").is_not_null().any()
    )
    order = list(GROUPS)
    return sorted((TableColumn(*row) for row in kinds.iter_rows()), key=lambda column: order.index(column.group))


def amplifies(columns: Sequence[TableColumn]) -> bool:
    """Return whether the edits are to make the concepts show more often, not less."""
    return any(not is_preserved(one.group) and one.measure == str(HITS) and one.better == "higher" for one in columns)


def lines(table: Table) -> list[Line]:
    """Return a line for each of the table's conditions, in its order."""
    all_columns = columns(table)
    return [_line(rows, all_columns) for rows in table.groups.partition_by("condition", maintain_order=True)]


def pooled(table: Table) -> list[Line]:
    """Return a line for each method and model: of its one concept, or of all its concepts together.

    Models and methods stay in the order of the table.
    """
    all_columns, rows = columns(table), table.pooled
    parts: dict[tuple[str, str], list[Line]] = {}
    for line in lines(table):
        parts.setdefault((line.model, line.method), []).append(line)
    return [
        _pool(part, rows.filter(model=model, method="" if method == UNEDITED else method), all_columns)
        for (model, method), part in parts.items()
    ]


def _line(rows: pl.DataFrame, all_columns: Sequence[TableColumn]) -> Line:
    first = rows.row(0, named=True)
    weights = rows.unique("group", maintain_order=True)
    return Line(
        conditions=(first["condition"],),
        model=first["model"],
        method=first["method"] or UNEDITED,
        concept=first["concept"],
        numbers=_numbers(rows, all_columns),
        broken=_weighted_mean(weights["broken"].to_list(), weights["pictures"].to_list()),
        collapsed=_weighted_mean(weights["collapsed"].to_list(), weights["pictures"].to_list()),
        errors=int(weights["errors"].sum()),
        protocols=(first["protocol"],),
        seconds=first["seconds"],
        bytes=first["bytes"],
    )


def _numbers(rows: pl.DataFrame, all_columns: Sequence[TableColumn]) -> tuple[Number | None, ...]:
    by_column = {(row["group"], row["measure"]): row for row in rows.iter_rows(named=True)}
    return tuple(_number(column, by_column.get((column.group, column.measure))) for column in all_columns)


def _number(column: TableColumn, row: dict[str, Any] | None) -> Number | None:
    if row is None or row["value"] is None:
        return None
    names = ("value", "low", "high", "diff", "diff_low", "diff_high", "hits", "pictures", "judged", "errors")
    return Number(column, *(row[name] for name in names))


def _pool(part: Sequence[Line], rows: pl.DataFrame, all_columns: Sequence[TableColumn]) -> Line:
    first = part[0]
    if len(part) == 1:
        return first
    sizes = [max((number.pictures for number in line.numbers if number), default=0) for line in part]
    return Line(
        conditions=tuple(condition for line in part for condition in line.conditions),
        model=first.model,
        method=first.method,
        concept=f"{len(part)} concepts",
        numbers=_numbers(rows, all_columns),
        broken=_weighted_mean([line.broken for line in part], sizes),
        collapsed=_weighted_mean([line.collapsed for line in part], sizes),
        errors=sum(line.errors for line in part),
        protocols=tuple(dict.fromkeys(digest for line in part for digest in line.protocols)),
        seconds=_sum(line.seconds for line in part),
        bytes=_sum(line.bytes for line in part),
    )


def _weighted_mean(values: Sequence[float | None], weights: Sequence[int]) -> float | None:
    """Return the mean of the values that are not None; None if there is none."""
    pairs = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None and weight]
    return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs) if pairs else None


def _sum(values: Iterable[Any]) -> Any:
    present = [value for value in values if value is not None]
    return sum(present) if present else None


def _between(
    column: TableColumn, low: float | None, high: float | None, word: str, text: Callable[[float], str]
) -> str:
    if low is None or high is None:
        return ""
    return f"{text(low)}{word}{text(high)}".replace("\u202f%", "")
