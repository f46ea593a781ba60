from __future__ import annotations

import pytest

from turpentine.bench import Difference, Rate
from turpentine.core import formatting as numbers


def test_rates_are_whole_percents_with_a_narrow_space() -> None:
    assert numbers.percent(0.864) == "86\u202f%"
    assert numbers.percent(1.0) == "100\u202f%"


def test_an_interval_is_that_of_wilson() -> None:
    assert numbers.span(Rate(0, 20)) == "0–16"
    assert numbers.with_span(Rate(8, 10)) == "80 (49–94)"


@pytest.mark.parametrize(("value", "text"), [(-0.834, "−83"), (0.02, "+2"), (0.004, "0"), (-0.004, "0")])
def test_differences_have_a_true_sign(value: float, text: str) -> None:
    assert numbers.points(value) == text


def test_the_interval_of_a_difference() -> None:
    assert numbers.points_span(Difference(-0.1, -0.2, 0.05)) == "−20 to +5"
    assert numbers.points_with_span(Difference(-0.75, -0.9, 0.004)) == "−75 (−90 to 0)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3599.6, "1 h"),
        (11_530, "3 h 12 min"),
        (90_061, "25 h 1 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 Bytes"),
        (999, "999 Bytes"),
        (12_400, "12.4 kB"),
        (3_140_000, "3.1 MB"),
        (999_999_999, "1.0 GB"),
        (5e12, "5.0 TB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert numbers.file_size(count) == text
