"""What was to change against what was to stay: a point for each method, with intervals, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from turpentine.bench.lines import Line, Number, TableColumn
from turpentine.tasks.groups import is_preserved

WIDTH, HEIGHT = 720, 500
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 700, 52, 436
_APART = 22  # between two names, in the drawing's own units


@dataclass(frozen=True)
class Axis:
    """One side of the drawing.

    Attributes:
        column: Whose values it shows.
        ends: The values at its beginning and its end, of which the end is the better one.
        start: Place of its beginning, in the drawing's own units.
        stop: Place of its end.
    """

    column: TableColumn
    ends: tuple[float, float]
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        first, last = self.ends
        return self.start + (self.stop - self.start) * (value - first) / (last - first)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Five places, and the values there."""
        first, last = self.ends
        return [(self(value), self.column.text(value)) for value in (first + (last - first) * i / 4 for i in range(5))]


class Whisker(NamedTuple):
    """The interval of a point along one axis.

    Attributes:
        low: Place of its lower end.
        high: Place of its upper end.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """A line of the table in the drawing.

    Attributes:
        x: Its place across.
        y: Its place along.
        across: Its interval across; None where there is none.
        along: Its interval along; None where there is none.
        name: Of the method, and of the concept for one of several.
        tooltip: Both numbers.
        is_unedited: Whether it is the model as it is.
        is_front: Whether no other method is better in both.
        is_single: Whether it is one concept of a method that has several.
        name_x: Place of the name across.
        name_y: Place of the name along.
        anchor: The end of the name that stands at its place: "start" or "end".
    """

    x: float
    y: float
    across: Whisker | None
    along: Whisker | None
    name: str
    tooltip: str
    is_unedited: bool
    is_front: bool
    is_single: bool
    name_x: float = 0.0
    name_y: float = 0.0
    anchor: str = "start"


@dataclass(frozen=True)
class Scatter:
    """The drawing.

    Attributes:
        across: What is to change.
        along: What is to stay.
        points: In the order in which they are drawn.
        front: Places of the front's points, from worst to best along x.
    """

    across: Axis
    along: Axis
    points: tuple[Point, ...]
    front: tuple[tuple[float, float], ...]


def scatter(columns: Sequence[TableColumn], methods: Sequence[Line], singles: Sequence[Line]) -> Scatter | None:
    """Return the drawing of what is to change against what is to stay; None where one is missing.

    The first is the first measure of what is to change, the second that with the most pictures of what is to stay. The
    better values are up and to the right, whichever way a measure counts.

    Args:
        columns: Of the table.
        methods: Lines that get a name and take part in the front.
        singles: Lines that are drawn small and first.
    """
    small = [line for line in singles if line not in methods]
    pairs = list(_pairs(columns, methods, small))
    if all(pair.is_single for pair in pairs):
        return None
    across = _axis([pair.gone for pair in pairs], _LEFT, _RIGHT)
    along = _axis([pair.preserved for pair in pairs], _BOTTOM, _TOP)
    front = _front([pair for pair in pairs if not pair.is_single and not pair.line.is_unedited])
    points = [_point(pair, across, along, pair in front) for pair in pairs]
    edge = sorted((point.x, point.y) for point in points if point.is_front)
    return Scatter(across, along, tuple(_named(points)), tuple(edge))


@dataclass(frozen=True)
class _Pair:
    """A line's two numbers.

    Attributes:
        line: Of the table.
        gone: The number of what is to change.
        preserved: The number of what is to stay.
        is_single: Whether it is one concept of a method that has several.
    """

    line: Line
    gone: Number
    preserved: Number
    is_single: bool

    @property
    def goodness(self) -> tuple[float, float]:
        """Both numbers, turned so that more is better."""
        gone, preserved = (n.value if n.column.better == "higher" else -n.value for n in (self.gone, self.preserved))
        return gone, preserved

    def is_outdone_by(self, other: _Pair) -> bool:
        """Return whether the other one is as good in both, and better in one."""
        mine, theirs = self.goodness, other.goodness
        return theirs != mine and theirs[0] >= mine[0] and theirs[1] >= mine[1]


def _pairs(columns: Sequence[TableColumn], methods: Sequence[Line], singles: Sequence[Line]) -> Iterator[_Pair]:
    """Yield the lines that have both numbers, single concepts first."""
    judged = [index for index, column in enumerate(columns) if column.better]
    gone = [index for index in judged if not is_preserved(columns[index].group)]
    preserved = [index for index in judged if is_preserved(columns[index].group)]
    if not gone or not preserved:
        return
    most = max(preserved, key=lambda index: sum(number.pictures for line in methods if (number := line.numbers[index])))
    for line in (*singles, *methods):
        first, second = line.numbers[gone[0]], line.numbers[most]
        if first and second:
            yield _Pair(line, first, second, line in singles)


def _axis(numbers: Sequence[Number], start: float, stop: float) -> Axis:
    """Return an axis for all values and their intervals: 0 to 1 for a rate, else a little more than they need."""
    column = numbers[0].column
    values = [value for number in numbers for value in (number.value, number.low, number.high) if value is not None]
    low, high = (0.0, 1.0) if column.is_rate else _with_room(min(values), max(values))
    return Axis(column, (high, low) if column.better == "lower" else (low, high), start, stop)


def _with_room(low: float, high: float) -> tuple[float, float]:
    room = 0.08 * (high - low) or abs(low) * 0.1 or 1.0
    return low - room, high + room


def _front(pairs: Sequence[_Pair]) -> list[_Pair]:
    """Return the Pareto front."""
    return [pair for pair in pairs if not any(pair.is_outdone_by(other) for other in pairs)]


def _point(pair: _Pair, across: Axis, along: Axis, is_front: bool) -> Point:
    name = f"{pair.line.method}, {pair.line.concept}" if pair.is_single else pair.line.method
    return Point(
        x=across(pair.gone.value),
        y=along(pair.preserved.value),
        across=_whisker(across, pair.gone),
        along=_whisker(along, pair.preserved),
        name=name,
        tooltip=f"{name}: {_tooltip(pair.gone)}; {_tooltip(pair.preserved)}",
        is_unedited=pair.line.is_unedited,
        is_front=is_front,
        is_single=pair.is_single,
    )


def _tooltip(number: Number) -> str:
    return f"{number.column.heading} {number.text}" + (f" ({number.span})" if number.span else "")


def _whisker(axis: Axis, number: Number) -> Whisker | None:
    if number.low is None or number.high is None:
        return None
    return Whisker(axis(number.low), axis(number.high))


def _named(points: Sequence[Point]) -> Iterator[Point]:
    """Yield the points with places for their names, pushed apart where they would overlap."""
    lowest: dict[str, float] = {}
    for point in sorted(points, key=lambda point: point.y):
        if point.is_single:
            yield point
            continue
        anchor = "end" if point.x > (_LEFT + _RIGHT) / 2 else "start"
        name_y = max(point.y - 6, lowest.get(anchor, -math.inf) + _APART)
        lowest[anchor] = name_y
        yield replace(point, name_x=point.x + (-9 if anchor == "end" else 9), name_y=name_y, anchor=anchor)
