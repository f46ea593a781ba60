"""The measures of a table: a rate, a mean or a sum of a judge's column, or a distance of two sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.suggest import offer
from turpentine.judges.base import Column
from turpentine.stats import set_distances
from turpentine.stats.clusters import Clusters
from turpentine.stats.intervals import (
    Rate,
    mean_count,
    mean_score,
    paired_bootstrap,
    paired_counts,
    paired_means,
    set_distance,
)
from turpentine.tasks.groups import is_preserved

Direction: TypeAlias = Literal["higher", "lower"]
Goal: TypeAlias = Literal["erase", "amplify"]

SMALL = 2_000
"""Pictures of a set whose distance has an interval: a larger one would take hours."""

_OF_PICTURES = ("rate", "mean")

_TEXT = re.compile(r"([\w-]+) of (.+?)(?: to (references))?")
_OPPOSITE: Mapping[Direction, Direction] = {"higher": "lower", "lower": "higher"}


class Value(NamedTuple):
    """A measure of some pictures, and how sure it is.

    Attributes:
        value: None where there is nothing to measure.
        low: Lower end of its 95 % interval, None where there is none.
        high: Upper end of its 95 % interval, None where there is none.
        hits: Of a rate.
        judged: Pictures that the value is of.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    hits: int | None = None
    judged: int = 0


NOTHING = Value(None)


@dataclass(frozen=True)
class Measure:
    """What is computed of the pictures of some cases.

    Args:
        how: "rate" (of hits), "mean" or "sum" (of numbers; there is no sum where one is missing), "fid" or "clip-mmd"
            (how far the pictures are from the unedited model's, by a column of features; see `stats.set_distances`).
        column: "hit", or a judge's column.
        direction: Which way is better for a picture that is to be preserved.
        to: What a distance is to: "" for the unedited model's pictures, or "references" for real ones.

    Example:
        >>> Measure.parse("fid of features").direction
        'lower'
    """

    how: str
    column: str
    direction: Direction | None = None
    to: Literal["", "references"] = ""

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Read a measure such as "rate of hit" or "mean of clip".

        Raises:
            BadArgument: The text is not of this form.
            UnknownName: There is no such way to measure.
        """
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise BadArgument(f"{text!r} is no measure: write how and of what, such as 'rate of hit' or 'sum of feet'.")
        if match[1] not in _KINDS:
            raise UnknownName(f"No measure is called {match[1]!r}: {offer(match[1], _KINDS)}")
        if match[3] and match[1] not in set_distances.MEASURES:
            names = " and ".join(set_distances.MEASURES)
            raise BadArgument(f"{text!r} is no measure: only {names} are to references.")
        direction: Direction | None = "lower" if match[1] in set_distances.MEASURES else None
        return cls(match[1], match[2], direction, "references" if match[3] else "")

    def checked(self, columns: Mapping[str, Column]) -> Measure:
        """Return the measure with the direction of its column.

        Args:
            columns: Of all judges.

        Raises:
            UnknownName: No judge has the column.
            BadArgument: The measure cannot be of the column.
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
        """Return which way is better for a group of cases: what is to be erased should look least like itself.

        Example:
            >>> Measure("rate", "hit", "higher").better("erased")
            'lower'
        """
        if self.direction is None or is_preserved(group) or goal == "amplify":
            return self.direction
        return None if self.how in set_distances.MEASURES else _OPPOSITE[self.direction]

    def value(self, rows: pl.DataFrame, base: pl.DataFrame | None, references: pl.DataFrame | None = None) -> Value:
        """Compute the measure.

        Args:
            rows: Of an edited model, or of the unedited one.
            base: The unedited model's rows, one for each.
            references: The rows of real pictures.
        """
        return _KINDS[self.how].value(self.column, rows, references if self.to else base)

    def difference(self, rows: pl.DataFrame, base: pl.DataFrame, references: pl.DataFrame | None = None) -> Value:
        """Compute the edited model's value minus the unedited one's, by pairs of rows; a distance has no interval.

        Args:
            rows: Of the edited model.
            base: The unedited model's rows, one for each.
            references: The rows of real pictures.
        """
        if not self.to:
            return _KINDS[self.how].difference(self.column, rows, base)
        both = _sets(self.how, self.column, rows, references), _sets(self.how, self.column, base, references)
        if both[0] is None or both[1] is None:
            return NOTHING
        measure = set_distances.MEASURES[self.how]
        return Value(measure(*both[0]) - measure(*both[1]), judged=len(both[0][0]))

    def pooled_value(
        self,
        parts: Sequence[tuple[pl.DataFrame, pl.DataFrame | None]],
        references: pl.DataFrame | None = None,
    ) -> Value:
        """Compute the measure of several concepts.

        A rate and a mean are of all pictures, with an interval over concepts and their prompts; another measure is the
        mean over the concepts, with an interval over these.

        Args:
            parts: For each concept the arguments of `value`.
            references: The rows of real pictures.
        """
        if self.how in _OF_PICTURES:
            return self.value(_concat(own for own, _ in parts), None)
        return _over_concepts([self.value(own, base, references) for own, base in parts])

    def pooled_difference(
        self, parts: Sequence[tuple[pl.DataFrame, pl.DataFrame]], references: pl.DataFrame | None = None
    ) -> Value:
        """Compute the difference of several concepts, as `pooled_value` does the value.

        Args:
            parts: For each concept the arguments of `difference`.
            references: The rows of real pictures.
        """
        if self.how in _OF_PICTURES:
            return self.difference(_concat(own for own, _ in parts), _concat(base for _, base in parts))
        return _over_concepts([self.difference(own, base, references) for own, base in parts])

    def __str__(self) -> str:
        return f"{self.how} of {self.column}{' to ' * bool(self.to)}{self.to}"


def _concat(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of several concepts, each concept's label being the concept: intervals are over these."""
    prompt = pl.concat_str("label", "prompt", separator="\n", ignore_nulls=True)
    return pl.concat(part.with_columns(label=pl.lit(str(number)), prompt=prompt) for number, part in enumerate(parts))


def _over_concepts(values: Sequence[Value]) -> Value:
    """Return the mean of the concepts' values, where each has one."""
    numbers = [each.value for each in values if each.value is not None]
    if not numbers or len(numbers) < len(values):
        return NOTHING
    return Value(*mean_score(numbers), judged=sum(each.judged for each in values))


def check_references(measures: Iterable[Measure], *, given: bool) -> None:
    """Check that measures against real pictures and such pictures come together.

    Args:
        measures: Of a table.
        given: Whether there is a folder of real pictures.

    Raises:
        BadArgument: One is there without the other.
    """
    against = [measure for measure in measures if measure.to]
    if against and not given:
        raise BadArgument(f"{against[0]} is to real pictures: give their folder as references.")
    if given and not against:
        raise BadArgument(
            "Nothing is measured against the references: add such as fid of features to references to the measures, or "
            "leave them out."
        )


def check_column(name: str, columns: Mapping[str, Column]) -> None:
    """Check that a judge has a column.

    Raises:
        UnknownName: None has it; the nearest are offered.
    """
    if name not in columns:
        raise UnknownName(f"No judge here has a column {name!r}: {offer(name, columns)}")


class _Kind(NamedTuple):
    """How a measure is computed of its column: alone, and beside the unedited model's rows."""

    value: Callable[[str, pl.DataFrame, pl.DataFrame | None], Value]
    difference: Callable[[str, pl.DataFrame, pl.DataFrame], Value]


def _rate(column: str, rows: pl.DataFrame, base: pl.DataFrame | None) -> Value:
    rows = rows.filter(pl.col(column).is_not_null())
    rate = Rate.of(rows[column].cast(pl.Boolean).to_list(), _clusters(rows))
    return Value(rate.value, rate.low, rate.high, rate.hits, rate.n) if rate else NOTHING


def _rate_difference(column: str, rows: pl.DataFrame, base: pl.DataFrame) -> Value:
    before, after, clusters = _pairs(column, rows, base, pl.Boolean)
    return Value(*paired_bootstrap(before, after, clusters=clusters)) if before else NOTHING


def _mean(column: str, rows: pl.DataFrame, base: pl.DataFrame | None) -> Value:
    rows = rows.filter(pl.col(column).is_not_null())
    values, clusters = rows[column].to_list(), _clusters(rows)
    if not values:
        return NOTHING
    mean = mean_count if rows[column].dtype.is_integer() else mean_score
    return Value(*mean(values, clusters=clusters), judged=len(values))


def _mean_difference(column: str, rows: pl.DataFrame, base: pl.DataFrame) -> Value:
    is_count = rows[column].dtype.is_integer() and base[column].dtype.is_integer()
    before, after, clusters = _pairs(column, rows, base, pl.Int64 if is_count else pl.Float64)
    difference = paired_counts if is_count else paired_means
    return Value(*difference(before, after, clusters=clusters)) if before else NOTHING


def _sum(column: str, rows: pl.DataFrame, base: pl.DataFrame | None) -> Value:
    return NOTHING if rows[column].has_nulls() else _times(len(rows), _mean(column, rows, base))


def _sum_difference(column: str, rows: pl.DataFrame, base: pl.DataFrame) -> Value:
    is_whole = not (rows[column].has_nulls() or base[column].has_nulls())
    return _times(len(rows), _mean_difference(column, rows, base)) if is_whole else NOTHING


def _times(count: int, mean: Value) -> Value:
    """Return a sum from its mean."""
    value, low, high = (None if part is None else count * part for part in mean[:3])
    return Value(value, low, high, judged=mean.judged)


def _of_sets(name: str) -> _Kind:
    """Return a distance of two sets of features, which is a difference from the unedited model already."""
    measure = set_distances.MEASURES[name]

    def value(column: str, rows: pl.DataFrame, base: pl.DataFrame | None) -> Value:
        sets = _sets(name, column, rows, base)
        if sets is None or base is None:
            return NOTHING
        count = len(sets[0])
        if max(map(len, sets)) > SMALL:
            return Value(measure(*sets), judged=count)
        own, before = (_clusters(part.filter(pl.col(column).is_not_null())) for part in (rows, base))
        return Value(*set_distance(measure, *sets, clusters=(own, before)), judged=count)

    return _Kind(value, lambda column, rows, base: NOTHING)


def _sets(
    name: str, column: str, rows: pl.DataFrame, others: pl.DataFrame | None
) -> tuple[set_distances.Vectors, set_distances.Vectors] | None:
    """Return the features of two sets of pictures; None where one has too few."""
    both = [] if others is None else [part.filter(pl.col(column).is_not_null()) for part in (rows, others)]
    if not both or min(map(len, both)) < 2:
        return None
    if not isinstance(rows[column].dtype, pl.Array | pl.List):
        raise BadArgument(f"The column {column} holds no features: take another measure than {name} of {column}.")
    own, other = (np.asarray(part[column].to_list(), dtype=np.float64) for part in both)
    return own, other


def _clusters(rows: pl.DataFrame) -> Clusters:
    """Return what intervals are over: labels, and prompts within them."""
    return rows.select("label", "prompt").rows()


def _pairs(column: str, rows: pl.DataFrame, base: pl.DataFrame, dtype: Any) -> tuple[list[Any], list[Any], Clusters]:
    """Return the column before and after, where neither is null, and the pairs' clusters."""
    both = rows.select("label", "prompt", before=base[column].cast(dtype), after=pl.col(column).cast(dtype)).drop_nulls(
        ["before", "after"]
    )
    return both["before"].to_list(), both["after"].to_list(), _clusters(both)


_KINDS: Mapping[str, _Kind] = {
    "rate": _Kind(_rate, _rate_difference),
    "mean": _Kind(_mean, _mean_difference),
    "sum": _Kind(_sum, _sum_difference),
    **{name: _of_sets(name) for name in set_distances.MEASURES},
}
