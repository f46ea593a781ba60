from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turpentine.cli.options import ModelChoice, judge_of, needed_judge, parse_edit, parse_seeds
from turpentine.core.errors import BadArgument


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
    for scale in ("half", "nan", "inf"):
        with pytest.raises(BadArgument, match=f"nor is '{scale}' a scale"):
            parse_edit(f"church.safetensors:{scale}")


def test_a_device_that_is_not_there_is_refused_before_a_model_is_read() -> None:
    with pytest.raises(BadArgument, match="'tpu9'"):
        ModelChoice(model="/nowhere", device="tpu9").load()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The judges that are made, each of which has to fetch something."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def make(name: str, **settings: Any) -> SimpleNamespace:
        asked.append((name, settings))
        return SimpleNamespace(name=name, download="a dictionary (3 MB)")

    monkeypatch.setattr("turpentine.judges.judge", make)
    return asked


@pytest.mark.parametrize(
    ("by", "model", "name", "settings"),
    [
        (None, "emoji", "emoji", {}),
        ("clip", "emoji", "clip", {}),
        ("clip", "folder", "clip", {"model": "openai/clip-vit-base-patch32"}),
        ("emoji", "folder", "emoji", {}),
    ],
)
def test_a_judge_fits_the_model_and_says_what_it_fetches(
    by: str | None, model: str, name: str, settings: dict[str, Any], made: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for choose in (judge_of, needed_judge):
        assert choose(by, model) is not None
        assert made.pop() == (name, settings)
        assert f"The judge {name} needs a dictionary (3 MB)" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("by", "model"), [(None, "folder"), ("none", "emoji"), ("none", "folder"), ("", "emoji")])
def test_no_judge_is_none_or_told_where_one_is_needed(by: str | None, model: str, made: list[Any]) -> None:
    assert judge_of(by, model) is None
    with pytest.raises(BadArgument, match="There is no judge"):
        needed_judge(by, model)
    assert made == []


def test_the_worlds_judge_is_the_default_for_every_model_that_ships() -> None:
    names = ("emoji", "emoji-64", "emoji-mmdit", "emoji-without-church")
    assert {judge_of(None, name).name for name in names} == {"emoji"}  # type: ignore[union-attr]
    assert judge_of(None, "CompVis/stable-diffusion-v1-4") is None
    assert judge_of("none", "emoji") is None
