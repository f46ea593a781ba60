"""What the value in a row of a table is: a rate, a mean or a sum of a judge's column, or a distance of two sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.suggest import offer
from turpentine.judges.base import Column
from turpentine.stats import set_distances
from turpentine.stats.intervals import Rate, mean_score, paired_bootstrap, paired_means, set_distance
from turpentine.tasks.groups import is_kept

Direction: TypeAlias = Literal["higher", "lower"]
Goal: TypeAlias = Literal["erase", "amplify"]

SMALL = 2_000
"""Pictures of a set whose distance has an interval: a larger one would take hours."""

_TEXT = re.compile(r"([\w-]+) of (.+)")
_OPPOSITE: Mapping[Direction, Direction] = {"higher": "lower", "lower": "higher"}


class Number(NamedTuple):
    """A value with the ends of its interval, None where there is none, and the hits of a rate."""

    value: float | None
    low: float | None = None
    high: float | None = None
    hits: int | None = None


NOTHING = Number(None)


@dataclass(frozen=True)
class Measure:
    """What is computed of the pictures of some cases.

    how: "rate" (of hits), "mean" or "sum" (of numbers; there is no sum where one of them is not known), "fid" or
    "clip-mmd" (how far the pictures are from the unedited model's, by a column of features; see
    `stats.set_distances`). column:
    "hit", or a judge's. direction: which way is better for a picture that is to be kept.
    """

    how: str
    column: str
    direction: Direction | None = None

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Read a measure such as "rate of hit" or "mean of clip". Raises BadArgument, UnknownName."""
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise BadArgument(f"{text!r} is no measure: write how and of what, such as 'rate of hit' or 'sum of feet'.")
        if found[1] not in _KINDS:
            raise UnknownName(f"No measure is called {found[1]!r}: {offer(found[1], _KINDS)}")
        return cls(found[1], found[2], "lower" if found[1] in set_distances.MEASURES else None)

    def known(self, columns: Mapping[str, Column]) -> Measure:
        """The measure with the direction of its column.

        Raises UnknownName for a column that no judge has, BadArgument for one that it cannot be of.
        """
        if (self.how == "rate") != (self.column == "hit"):
            raise BadArgument(
                f"{self} is no measure: a rate is of hits, and hits have nothing else; write rate of hit."
            )
        if self.column == "hit":
            return replace(self, direction="higher")
        check_column(self.column, columns)
        column = columns[self.column]
        if self.how in ("mean", "sum") and not column.is_number:
            raise BadArgument(f"The column {self.column} holds no numbers: take another measure than {self}.")
        return self if self.how in set_distances.MEASURES else replace(self, direction=column.direction)

    def better(self, group: str, goal: Goal = "erase") -> Direction | None:
        """Which way is better for a group of cases: what is to be erased should look least like itself."""
        if self.direction is None or is_kept(group) or goal == "amplify":
            return self.direction
        return None if self.how in set_distances.MEASURES else _OPPOSITE[self.direction]

    def value(self, rows: pl.DataFrame, base: pl.DataFrame | None) -> Number:
        """Of the rows of an edited model, or of the unedited one. base: the unedited model's rows, one for each."""
        return _KINDS[self.how].value(self.column, rows, base)

    def difference(self, rows: pl.DataFrame, base: pl.DataFrame) -> Number:
        """Of the edited model's value minus the unedited one's, by pairs of rows."""
        return _KINDS[self.how].difference(self.column, rows, base)

    def __str__(self) -> str:
        return f"{self.how} of {self.column}"


def check_column(name: str, columns: Mapping[str, Column]) -> None:
    """Raises UnknownName for a column that no judge has, and offers the nearest."""
    if name not in columns:
        raise UnknownName(f"No judge of this bench has a column {name!r}: {offer(name, columns)}")


class _Kind(NamedTuple):
    """How a measure is computed of its column: alone, and beside the unedited model's rows."""

    value: Callable[[str, pl.DataFrame, pl.DataFrame | None], Number]
    difference: Callable[[str, pl.DataFrame, pl.DataFrame], Number]


def _rate(column: str, rows: pl.DataFrame, base: pl.DataFrame | None) -> Number:
    rate = Rate.of(rows[column].drop_nulls().cast(pl.Boolean).to_list())
    return Number(rate.value, rate.low, rate.high, rate.hits) if rate else NOTHING


def _rate_difference(column: str, rows: pl.DataFrame, base: pl.DataFrame) -> Number:
    before, after = _pairs(column, rows, base, pl.Boolean)
    return Number(*paired_bootstrap(before.to_list(), after.to_list())) if len(before) else NOTHING


def _mean(column: str, rows: pl.DataFrame, base: pl.DataFrame | None) -> Number:
    values = rows[column].cast(pl.Float64).drop_nulls().to_list()
    return Number(*mean_score(values)) if values else NOTHING


def _mean_difference(column: str, rows: pl.DataFrame, base: pl.DataFrame) -> Number:
    before, after = _pairs(column, rows, base, pl.Float64)
    return Number(*paired_means(before.to_list(), after.to_list())) if len(before) else NOTHING


def _sum(column: str, rows: pl.DataFrame, base: pl.DataFrame | None) -> Number:
    return NOTHING if rows[column].has_nulls() else _times(len(rows), _mean(column, rows, base))


def _sum_difference(column: str, rows: pl.DataFrame, base: pl.DataFrame) -> Number:
    known = not (rows[column].has_nulls() or base[column].has_nulls())
    return _times(len(rows), _mean_difference(column, rows, base)) if known else NOTHING


def _times(count: int, mean: Number) -> Number:
    """A sum is its mean, so many times."""
    value, low, high = (None if part is None else count * part for part in mean[:3])
    return Number(value, low, high)


def _of_sets(name: str) -> _Kind:
    """A distance of two sets of features, which is a difference from the unedited model already."""
    measure = set_distances.MEASURES[name]

    def value(column: str, rows: pl.DataFrame, base: pl.DataFrame | None) -> Number:
        found = [] if base is None else [part[column].drop_nulls().to_list() for part in (rows, base)]
        if not found or min(map(len, found)) < 2:
            return NOTHING
        if not isinstance(rows[column].dtype, pl.Array | pl.List):
            raise BadArgument(f"The column {column} holds no features: take another measure than {name} of {column}.")
        own, before = (np.asarray(part, dtype=np.float64) for part in found)
        return Number(*set_distance(measure, own, before)) if len(own) <= SMALL else Number(measure(own, before))

    return _Kind(value, lambda column, rows, base: NOTHING)


def _pairs(column: str, rows: pl.DataFrame, base: pl.DataFrame, dtype: Any) -> tuple[pl.Series, pl.Series]:
    """The column before and after, where both are known."""
    pairs = pl.DataFrame({"before": base[column].cast(dtype), "after": rows[column].cast(dtype)}).drop_nulls()
    return pairs["before"], pairs["after"]


_KINDS: Mapping[str, _Kind] = {
    "rate": _Kind(_rate, _rate_difference),
    "mean": _Kind(_mean, _mean_difference),
    "sum": _Kind(_sum, _sum_difference),
    **{name: _of_sets(name) for name in set_distances.MEASURES},
}
