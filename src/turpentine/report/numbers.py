"""Numbers as readers have them: rates as percent, differences in points, a true minus sign."""

from __future__ import annotations

from turpentine.bench import Difference, Rate


def percent(value: float) -> str:
    """A rate of 0 to 1 as `86 %`."""
    return f"{100 * value:.0f}\u202f%"


def span(rate: Rate) -> str:
    """The interval of a rate in percent, as `75–93`."""
    return f"{100 * rate.low:.0f}–{100 * rate.high:.0f}"


def points(value: float) -> str:
    """A difference of rates in points, with its sign: `−83`, `+2`, `0`."""
    rounded = round(100 * value)
    return "0" if rounded == 0 else f"{'−' if rounded < 0 else '+'}{abs(rounded)}"


def points_span(difference: Difference) -> str:
    """The interval of a difference in points, as `−91 to −72`."""
    return f"{points(difference.low)} to {points(difference.high)}"


def duration(seconds: float) -> str:
    """A time span as `48 s` or `2 min 05 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def size(width: float, height: float) -> str:
    """Two sides as `32 × 32`."""
    return f"{width:g} × {height:g}"
