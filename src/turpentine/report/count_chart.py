"""How far each method changes what is counted, part by part, in percent of the unedited model's count.

The bar chart of ESD (Gandikota 2023, Figure 7), which has NudeNet's counts of parts of bodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from turpentine.bench.lines import Line, Number, TableColumn

WIDTH = 720
_LEFT, _RIGHT = 210, 700
_BAR, _GAP, _TOP = 12, 10, 24

SUM = "sum of "
FEWEST = 2
"""Counts of one group that make a chart."""


@dataclass(frozen=True)
class Bar:
    """A method's change of one count.

    Attributes:
        method: Its name, with what it erases where lines differ in that.
        shade: Which of the methods it is, from 0.
        before: The unedited model's count.
        after: The method's.
        change: In percent of the former; −100 where nothing is left.
        ends: The places of the interval's ends; None where there is no interval.
        x: The bar's left end.
        width: Its length.
        y: Its upper side.
    """

    method: str
    shade: int
    before: float
    after: float
    change: float
    ends: tuple[float, float] | None
    x: float
    width: float
    y: float

    @property
    def text(self) -> str:
        """The change, and both counts."""
        return f"{self.method}: {self.before:g} to {self.after:g}, {signed(self.change)}\u202f%"


@dataclass(frozen=True)
class PartBars:
    """What is counted, and each method's change of it.

    Attributes:
        name: Of what is counted, such as "belly exposed".
        before: The unedited model's count.
        bars: One for each method.
        y: The middle of the bars.
    """

    name: str
    before: float
    bars: tuple[Bar, ...]
    y: float


@dataclass(frozen=True)
class CountChart:
    """The drawing.

    Attributes:
        parts: From the top down.
        methods: In the order of their shades.
        ticks: Places along the axis, and their texts.
        zero: The place of no change.
        height: Of the drawing.
    """

    parts: tuple[PartBars, ...]
    methods: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float
    height: float


def signed(value: float) -> str:
    """Return whole percent with a true minus sign.

    Example:
        >>> signed(-89.6), signed(0.2), signed(12)
        ('−90', '0', '+12')
    """
    whole = round(value)
    return "0" if whole == 0 else f"{whole:+d}".replace("-", "−")


def count_chart(columns: Sequence[TableColumn], lines: Sequence[Line]) -> CountChart | None:
    """Return the chart of a table's sums; None where it has fewer than two, or nothing was counted before any edit.

    Parts that the unedited model has none of have no change in percent, and are left out.

    Args:
        columns: Of the table.
        lines: Of the table, each model's unedited one among them.
    """
    chosen = [index for index, column in enumerate(columns) if column.measure.startswith(SUM)]
    edited = [(line, before) for line in lines if not line.is_unedited and (before := _unedited(line, lines))]
    parts = [index for index in chosen if edited and any(_value(before, index) for _, before in edited)]
    if len(chosen) < FEWEST or not parts:
        return None
    changes = [[_change(line.numbers[index], _value(before, index)) for line, before in edited] for index in parts]
    most = max(0.0, *(change for row in changes for change, *_ in row))
    scale = _Scale(min(200.0, most))
    names = _names([line for line, _ in edited])
    drawn_parts, y = [], float(_TOP)
    for index, row in zip(parts, changes, strict=True):
        bars = tuple(
            _bar(name, shade, line.numbers[index], _value(before, index), change, scale, y + shade * _BAR)
            for shade, (name, (line, before), change) in enumerate(zip(names, edited, row, strict=True))
        )
        height = _BAR * len(edited)
        drawn_parts.append(PartBars(_part_name(columns[index]), _value(edited[0][1], index), bars, y + height / 2))
        y += height + _GAP
    ticks = tuple((scale(each), f"{signed(each)}\u202f%") for each in scale.ticks)
    return CountChart(tuple(drawn_parts), tuple(names), ticks, scale(0), y)


class _Scale:
    """Places of changes in percent, from −100 to what the largest rise needs."""

    def __init__(self, most: float) -> None:
        self._most = 50 * -(-most // 50)

    @property
    def ticks(self) -> list[float]:
        return [-100 + 50 * step for step in range(3 + int(self._most // 50))]

    def __call__(self, change: float) -> float:
        share = (min(max(change, -100), self._most) + 100) / (100 + self._most)
        return _LEFT + (_RIGHT - _LEFT) * share


Change = tuple[float, float | None, float | None]
"""In percent, with the interval's ends."""


def _change(number: Number | None, before: float) -> Change:
    if number is None or not before:
        return 0.0, None, None
    percent = 100 / before
    ends = [None if end is None else percent * end for end in (number.diff_low, number.diff_high)]
    return percent * (number.value - before), ends[0], ends[1]


def _bar(name: str, shade: int, number: Number | None, before: float, change: Change, scale: _Scale, y: float) -> Bar:
    value, low, high = change
    left, right = sorted((scale(0), scale(value)))
    ends = (scale(low), scale(high)) if low is not None and high is not None else None
    return Bar(name, shade, before, number.value if number else before, value, ends, left, right - left, y)


def _unedited(line: Line, lines: Sequence[Line]) -> Line | None:
    """Return the unedited line of the same model, of the same concept where there are several."""
    others = [other for other in lines if other.is_unedited and other.model == line.model]
    return next((other for other in others if other.concept in (line.concept, "")), others[0] if others else None)


def _value(line: Line, index: int) -> float:
    number = line.numbers[index]
    return number.value if number else 0.0


def _names(lines: Sequence[Line]) -> list[str]:
    """Return the methods' names, with the model or the concept where these differ."""
    models, concepts = {line.model for line in lines}, {line.concept for line in lines}
    return [
        " · ".join(
            [line.method, *([line.concept] if len(concepts) > 1 else []), *([line.model] if len(models) > 1 else [])]
        )
        for line in lines
    ]


def _part_name(column: TableColumn) -> str:
    return column.measure.removeprefix(SUM).replace("_", " ")
