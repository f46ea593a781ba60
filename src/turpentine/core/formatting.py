"""Numbers as readers have them: rates in percent, differences in points, a true minus sign."""

from __future__ import annotations

import re
from typing import Protocol, runtime_checkable

import humanize

_HOUR = 3600
_SHORT = {", ": " ", " and ": " ", "hour": "h", "minute": "min", "second": "s"}
_UNIT = re.compile("(, | and |hour|minute|second)s?")


@runtime_checkable
class Interval(Protocol):
    """A number and the ends of its interval, such as `bench.Rate` and `bench.Difference`; 1 is all."""

    @property
    def value(self) -> float:
        """The number."""
        ...

    @property
    def low(self) -> float:
        """The interval's lower end."""
        ...

    @property
    def high(self) -> float:
        """The interval's upper end."""
        ...


def percent(value: float) -> str:
    """Return a rate of 0 to 1 as `86 %`."""
    return f"{100 * value:.0f}\u202f%"


def span(rate: Interval) -> str:
    """Return the interval of a rate in percent, as `75–93`."""
    return f"{100 * rate.low:.0f}–{100 * rate.high:.0f}"


def with_span(rate: Interval) -> str:
    """Return a rate in percent with its interval, as `86 (75–93)`."""
    return f"{100 * rate.value:.0f} ({span(rate)})"


def points(value: float) -> str:
    """Return a difference of rates in points, with its sign: `−83`, `+2`, `0`."""
    rounded = round(100 * value)
    return "0" if rounded == 0 else f"{'−' if rounded < 0 else '+'}{abs(rounded)}"


def points_span(difference: Interval) -> str:
    """Return the interval of a difference in points, as `−91 to −72`."""
    return f"{points(difference.low)} to {points(difference.high)}"


def points_with_span(difference: Interval) -> str:
    """Return a difference in points with its interval, as `−83 (−91 to −72)`."""
    return f"{points(difference.value)} ({points_span(difference)})"


def counted(number: int, noun: str) -> str:
    """Return how many there are of something, as `1 thread` or `2 threads`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a time span in short, by humanize.

    Args:
        seconds: 0 or more; rounded to whole seconds, and from an hour on to whole minutes.

    Returns:
        Such as `48 s`, `2 min 5 s` or `3 h 12 min`.

    Example:
        >>> duration(125), duration(11_530)
        ('2 min 5 s', '3 h 12 min')
    """
    unit = "seconds" if round(seconds) < _HOUR else "minutes"
    text = humanize.precisedelta(round(seconds), minimum_unit=unit, suppress=("days", "months", "years"), format="%.0f")
    return _UNIT.sub(lambda match: _SHORT[match[1]], text)


def file_size(count: float) -> str:
    """Return a number of bytes in decimal units, by humanize.

    Args:
        count: Bytes, 0 or more.

    Returns:
        Such as `640 Bytes`, `12.4 kB`, `3.1 MB` or `2.5 GB`.

    Example:
        >>> file_size(3_140_000)
        '3.1 MB'
    """
    return humanize.naturalsize(count, format="%.1f")


def two_digits(value: float) -> str:
    """Return a number with two digits after the point and a true minus sign, as `−0.25`."""
    return f"{value:.2f}".replace("-", "−")
