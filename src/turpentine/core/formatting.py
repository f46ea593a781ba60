"""Numbers as readers have them: rates in percent, differences in points, a true minus sign."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


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
    """A rate of 0 to 1 as `86 %`."""
    return f"{100 * value:.0f}\u202f%"


def span(rate: Interval) -> str:
    """The interval of a rate in percent, as `75–93`."""
    return f"{100 * rate.low:.0f}–{100 * rate.high:.0f}"


def with_span(rate: Interval) -> str:
    """A rate in percent with its interval, as `86 (75–93)`."""
    return f"{100 * rate.value:.0f} ({span(rate)})"


def points(value: float) -> str:
    """A difference of rates in points, with its sign: `−83`, `+2`, `0`."""
    rounded = round(100 * value)
    return "0" if rounded == 0 else f"{'−' if rounded < 0 else '+'}{abs(rounded)}"


def points_span(difference: Interval) -> str:
    """The interval of a difference in points, as `−91 to −72`."""
    return f"{points(difference.low)} to {points(difference.high)}"


def points_with_span(difference: Interval) -> str:
    """A difference in points with its interval, as `−83 (−91 to −72)`."""
    return f"{points(difference.value)} ({points_span(difference)})"


def duration(seconds: float) -> str:
    """A time span as `48 s` or `2 min 05 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def file_size(count: int) -> str:
    """A number of bytes as `640 B`, `12 kB`, `3.1 MB` or `2.5 GB`."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    if count < 1_000_000_000:
        return f"{count / 1_000_000:.1f} MB"
    return f"{count / 1_000_000_000:.1f} GB"


def two_digits(value: float) -> str:
    """Return a number with two digits after the point and a true minus sign, as `−0.25`."""
    return f"{value:.2f}".replace("-", "−")
