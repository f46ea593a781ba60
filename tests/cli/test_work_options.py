"""The exit code of a run, and a judge with settings on a command line."""

from __future__ import annotations

import pytest

from turpentine.cli.work_options import FAILED, exit_code, named_settings
from turpentine.core.errors import BadArgument


def test_a_run_without_errors_succeeds_silently(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([], 8) == 0
    assert capsys.readouterr().err == ""


def test_errors_are_counted_and_the_first_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["It drew NaN.", "Another."], 8) == FAILED == 1
    err = capsys.readouterr().err
    assert "2 of 8 rows" in err
    assert "It drew NaN. The same command with --retry" in err
    assert "Another" not in err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clip", ("clip", {})),
        ("clip: {model: emoji, column: a}", ("clip", {"model": "emoji", "column": "a"})),
        ("pixel change", ("pixel change", {})),
        ("clip:", ("clip", {})),
    ],
)
def test_a_name_may_have_settings(text: str, expected: tuple[str, dict[str, str]]) -> None:
    assert named_settings(text) == expected


@pytest.mark.parametrize("text", ["[clip]", "3", "a: {b: 1}\nc: {d: 2}", "clip: 3"])
def test_what_is_no_name_with_settings_is_refused(text: str) -> None:
    with pytest.raises(BadArgument, match="judge"):
        named_settings(text)
