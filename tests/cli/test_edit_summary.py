from __future__ import annotations

import json

import pytest
from report.fake import fake_result

from turpentine.bench import Difference, ErasureResult, Rate
from turpentine.cli.edit_summary import _difference, _rate, as_json, show_outcome


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ErasureResult:
    """An erasure of church, made up."""
    return fake_result(tmp_path_factory.mktemp("church"), seeds=2)


def test_rates_and_differences_are_told_with_their_intervals() -> None:
    assert _rate(Rate(8, 10)) == "80 (49–94)"
    assert _rate(None) == "-"
    assert _difference(Difference(-0.75, -0.9, 0.004)) == "−75 (−90 to 0)"
    assert _difference(Difference(0.12, -0.001, 0.3)) == "+12 (0 to +30)"


def test_every_label_has_its_row_and_the_files_are_named(
    result: ErasureResult, capsys: pytest.CaptureFixture[str]
) -> None:
    show_outcome(result, "emoji")
    out = capsys.readouterr().out
    for change in result.effects.labels:
        assert f"\n  {change.label} " in out
    for name in ("prompts that name it", "prompts that only imply it", "others of its kind", "blank or noise"):
        assert f"\n{name}" in out
    assert str(result.folder / "report.html") in out
    assert "tp.load()" in out


def test_the_short_summary_comes_first_and_the_long_table_on_demand(
    result: ErasureResult, capsys: pytest.CaptureFixture[str]
) -> None:
    show_outcome(result, "emoji")
    whole = capsys.readouterr().out
    show_outcome(result, "emoji", details=False)
    short = capsys.readouterr().out
    assert "--details" in short and "--details" not in whole and len(short) < len(whole)
    begin = short.splitlines()[:3]
    assert whole.splitlines()[:3] == begin
    assert not any(f"\n  {change.label} " in short for change in result.effects.labels)


def test_a_narrow_terminal_is_wide_enough(result: ErasureResult, capsys: pytest.CaptureFixture[str]) -> None:
    show_outcome(result, "emoji")
    table = capsys.readouterr().out.split("In brackets")[0]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 80


def test_a_machine_reads_numbers(result: ErasureResult) -> None:
    told = json.loads(json.dumps(as_json(result)))
    erased = result.effects.summary["erased"]
    assert told["summary"]["erased"]["before"]["rate"] == erased.before.value
    assert len(told["labels"]) == len(result.effects.labels)
    assert told["files"]["edit"] == str(result.folder / "edit.safetensors")
