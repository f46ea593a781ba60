from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types as at
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turpentine.core.errors import BadArgument
from turpentine.core.settings import (
    Count,
    Finite,
    Fraction,
    NonNegative,
    Positive,
    Settings,
    Share,
    field_types,
    fits,
    range_of,
    speakable,
)
from turpentine.models import Sites


def odd(value: int) -> bool:
    """an odd number."""
    return value % 2 == 1


@dataclass(frozen=True)
class Rubbing(Settings):
    passes: Count = 3
    share: Share = 0.5
    per: Literal["row", "matrix"] = "row"
    window: tuple[Fraction, Fraction] = (0.0, 1.0)
    lr: Positive | None = None
    trials: Annotated[int, at.Ge(4)] | Literal[0] = 0
    words: tuple[Annotated[str, at.MinLen(1)], ...] = ()
    width: Annotated[int, at.Predicate(odd)] = 3
    free: float = 0.0
    sites: str | Sites = "x"


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("passes", 0, "1 or more"),
        ("passes", "many", "1 or more"),
        ("share", 0.0, "over 0 and up to 1"),
        ("share", math.nan, "over 0 and up to 1"),
        ("per", "column", "one of row, matrix"),
        ("window", (0.0, 1.5), "0 or more and up to 1 for each"),
        ("window", (0.0,), "0 or more and up to 1 for each"),
        ("lr", math.inf, "a finite number, over 0, or none"),
        ("lr", 0.0, "a finite number, over 0, or none"),
        ("trials", 3, "4 or more, or 0"),
        ("trials", -1, "4 or more, or 0"),
        ("words", ("a", ""), "1 of them or more for each"),
        ("width", 4, "an odd number"),
    ],
)
def test_a_field_out_of_range_is_refused_with_class_field_value_and_range(
    setting: str, value: Any, allowed: str
) -> None:
    with pytest.raises(BadArgument) as raised:
        replace(Rubbing(), **{setting: value})
    assert str(raised.value) == f"Rubbing's {setting} is {value!r}: give {allowed}."


@pytest.mark.parametrize(
    "settings",
    [
        {"passes": 1},
        {"share": 1},
        {"per": "matrix"},
        {"window": [0, 1]},
        {"lr": 1},
        {"lr": None},
        {"trials": 4},
        {"words": ("a", "b")},
        {"free": math.nan},
        {"sites": Sites((), ())},
    ],
)
def test_what_is_in_range_is_taken(settings: dict[str, Any]) -> None:
    assert {name: getattr(Rubbing(**settings), name) for name in settings} == settings


@given(st.floats())
def test_bounds_are_those_of_the_numbers(value: float) -> None:
    assert fits(value, Share) == (0 < value <= 1)
    assert fits(value, Fraction) == (0 <= value <= 1)
    assert fits(value, Positive) == (0 < value < math.inf)
    assert fits(value, NonNegative) == (0 <= value < math.inf)
    assert fits(value, Finite) == math.isfinite(value)
    assert fits(value, Annotated[float, at.Interval(gt=-1, lt=2)]) == (-1 < value < 2)


def test_a_type_without_constraints_has_no_range_and_allows_all() -> None:
    for hint in (int, int | None, str | Sites, tuple[int, ...], Annotated[int, "note"], Any):
        assert range_of(hint) == ""
        assert fits("anything", hint)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Finite, "a finite number"),
        (Annotated[int, at.MultipleOf(8)], "a multiple of 8"),
        (tuple[Count, ...], "1 or more for each"),
        (Literal["a"], "a"),
        (Annotated[tuple[str, ...], at.MaxLen(2)], "2 of them at most"),
    ],
)
def test_a_range_in_words(hint: Any, words: str) -> None:
    assert range_of(hint) == words


def test_constraints_of_a_base_are_kept() -> None:
    @dataclass(frozen=True)
    class Narrow(Rubbing):
        depth: Count = 1

    assert field_types(Narrow).keys() == {*field_types(Rubbing), "depth"}
    with pytest.raises(BadArgument, match="Narrow's passes is 0"):
        Narrow(passes=0)


@pytest.mark.parametrize(
    ("hint", "spoken"),
    [
        (int, int),
        (Path, Path),
        (str | Sites, str),
        (float | None, float | None),
        (Literal["a", "b"], Literal["a", "b"]),
        (tuple[float, float], tuple[float, float]),
        (tuple[str, ...], tuple[str, ...]),
        (Sites, None),
        (Sites | None, None),
        (tuple[Sites, ...], None),
        (dict[str, int], None),
    ],
)
def test_only_what_can_be_written_is_speakable(hint: Any, spoken: Any) -> None:
    assert speakable(hint) == spoken


def test_annotated_types_are_seen_through() -> None:
    assert speakable(Annotated[int, "note"]) == Annotated[int, "note"]
    assert speakable(Annotated[Sites, "note"]) is None
