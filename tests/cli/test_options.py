from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turpentine.cli.options import ModelChoice, parse_edit, parse_seeds
from turpentine.errors import BadArgument


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0", [0]),
        ("0-3", [0, 1, 2, 3]),
        ("0-2,9", [0, 1, 2, 9]),
        (" 5 , 4", [5, 4]),
        ("3,1-3", [3, 1, 2]),
        ("7-7", [7]),
    ],
)
def test_seeds_are_read_in_order_and_once(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "-1", "1-", "a", "1.5", "3-1", "0-99999999999", "1,,2", "²", "99999999999999999999"]
)
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(BadArgument):
        parse_seeds(text)


@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_numbers_come_back_as_they_are(seeds: list[int]) -> None:
    assert parse_seeds(",".join(map(str, seeds))) == seeds


def test_an_edit_is_a_file_and_maybe_a_scale(tmp_path: Path) -> None:
    assert parse_edit("church.safetensors") == (Path("church.safetensors"), 1.0)
    assert parse_edit("church.safetensors:0.5") == (Path("church.safetensors"), 0.5)
    assert parse_edit("a:b:-1") == (Path("a:b"), -1.0)


def test_a_file_whose_name_looks_like_a_scale_is_a_file(tmp_path: Path) -> None:
    odd = tmp_path / "church:2"
    odd.touch()
    assert parse_edit(str(odd)) == (odd, 1.0)


def test_a_scale_must_be_a_number() -> None:
    with pytest.raises(BadArgument, match="half"):
        parse_edit("church.safetensors:half")


def test_a_device_that_is_not_there_is_refused_before_a_model_is_read() -> None:
    with pytest.raises(BadArgument, match="'tpu9'"):
        ModelChoice(model="/nowhere", device="tpu9").load()
