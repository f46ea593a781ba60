from __future__ import annotations

import pytest

from turpentine.cli.progress_bars import Lines, Phases, progress_bar


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _drive(times: list[tuple[float, int]], total: int) -> list[str]:
    clock, lines = Clock(), []
    meter = Lines("Drawing", "steps", lines.append, clock)
    for now, done in times:
        clock.now = now
        meter(done, total)
    return lines


def test_short_work_is_silent() -> None:
    assert _drive([(0.5, 5), (1.0, 10)], 10) == []


def test_long_work_says_what_is_done_what_is_left_and_how_fast() -> None:
    assert _drive([(0.0, 0), (5.0, 50), (6.0, 60), (20.0, 200)], 260) == [
        "Drawing: 50 of 260 steps, 10/s, 21 s left",
        "Drawing: 200 of 260 steps, 10/s, 6 s left",
    ]


def test_the_end_is_told_where_anything_was() -> None:
    assert _drive([(0.0, 0), (4.0, 40), (5.0, 50)], 50)[-1] == "Drawing: 50 of 50 steps, 10/s, 0 s left"


def test_what_an_earlier_run_did_does_not_count_for_the_rate() -> None:
    assert _drive([(0.0, 1000), (5.0, 1010)], 1020) == ["Drawing: 1010 of 1020 steps, 2/s, 5 s left"]


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turpentine.cli.progress_bars._FIRST_LINE", 0.0)
    with progress_bar("Drawing") as progress:
        progress(1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Drawing: 1 of 2 steps")


def test_phases_have_their_own_labels_and_units(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turpentine.cli.progress_bars._FIRST_LINE", 0.0)
    with Phases({"erase": ("Erasing", "rows"), "after": ("Drawing after", "pictures")}) as progress:
        progress("erase", 3, 4)
        progress("after", 1, 2)
    assert capsys.readouterr().err.splitlines() == ["Erasing: 3 of 4 rows", "Drawing after: 1 of 2 pictures"]
