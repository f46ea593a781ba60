"""The sentences of a page that its tests do not read: what there is to gain."""

from __future__ import annotations

from pathlib import Path

from report.fake import fake_result

from turpentine.bench import Case
from turpentine.cli.edit_summary import as_json, show_outcome
from turpentine.report import render_erasure
from turpentine.report.story import nothing_to_gain

ALWAYS = [Case("erased", "church", "a church", "object", "church")]
"""One prompt, which the made-up model before the edit shows rightly."""


def test_amplifying_says_when_the_model_shows_it_always_already(tmp_path: Path, capsys) -> None:
    full = fake_result(tmp_path / "full", cases=ALWAYS, seeds=1, goal="amplify")
    said = nothing_to_gain(full)
    assert "shows church in 100 % of the 1 pictures" in said
    assert said in render_erasure(full)
    assert as_json(full)["nothing_to_gain"] is True
    show_outcome(full, "emoji")
    assert said in capsys.readouterr().out


def test_it_says_nothing_where_there_is_something_to_gain_or_to_lose(tmp_path: Path) -> None:
    some = fake_result(tmp_path / "some", seeds=2, goal="amplify")
    assert nothing_to_gain(some) == ""
    assert nothing_to_gain(fake_result(tmp_path / "erased", cases=ALWAYS, seeds=1)) == ""
