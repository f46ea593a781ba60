"""`python -m turpentine.emoji`: which stages run, where they write, and how it ends."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from turpentine.emoji import __main__ as command
from turpentine.emoji.train.presets import PRESETS, Preset

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


@pytest.fixture(autouse=True)
def _denormals_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands set it for their whole process."""
    monkeypatch.setattr("torch.set_flush_denormal", lambda mode: True)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code."""
    monkeypatch.setattr(sys, "argv", ["turpentine.emoji", *arguments])
    with pytest.raises(SystemExit) as end:
        command.main()
    return int(end.value.code or 0)


class Stages:
    """A recipe that trains nothing and notes what it is asked for."""

    calls: list[str]

    def __init__(self, *_: Any, device: str) -> None:
        Stages.calls = [device]

    def __getattr__(self, stage: str) -> Any:
        return lambda *_: Stages.calls.append(stage) or stage


@pytest.mark.parametrize(
    ("until", "stages"),
    [
        ("autoencoder", ["autoencoder"]),
        ("towers", ["autoencoder", "towers"]),
        ("judge", ["autoencoder", "towers", "judge"]),
        ("unet", ["autoencoder", "towers", "judge", "unet"]),
    ],
)
def test_training_ends_with_the_stage_that_is_named(
    until: str, stages: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assembled: list[Path] = []
    monkeypatch.setattr("turpentine.emoji.train.stages.WorldTraining", Stages)
    monkeypatch.setattr("turpentine.emoji.train.assemble.assemble", lambda *parts: assembled.append(parts[-1]))
    assert call(monkeypatch, "train", str(tmp_path), "--until", until) == 0
    assert Stages.calls == ["cpu", *stages]
    assert assembled == ([tmp_path / "weights"] if until == "unet" else [])


@pytest.mark.parametrize(
    ("options", "folder"),
    [([], "runs/emoji-without-cat-0"), (["--unnamed", "--seed", "3"], "runs/emoji-unnamed-cat-3")],
)
def test_each_oracle_has_a_folder_of_its_own(
    options: list[str], folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders: list[Path] = []
    monkeypatch.setattr("turpentine.emoji.train.retrain.retrain", lambda *parts, **_: folders.append(parts[2]))
    assert call(monkeypatch, "oracle", "cat", *options) == 0
    assert folders == [Path(folder)]
    assert f"written to {Path(folder, 'weights')}" in capsys.readouterr().err


def test_a_lesson_is_as_long_as_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And the schedule of all else is the preset's."""
    presets: list[Preset] = []
    monkeypatch.setattr("turpentine.emoji.train.retrain.retrain", lambda *parts, **_: presets.append(parts[1]))
    for options in ([], ["--finish", "1800"], ["--begin", "2400", "--finish", "1800"]):
        assert call(monkeypatch, "oracle", "cat", *options) == 0
    lengths = [(preset.unet.schedule.updates, preset.finish.schedule.updates) for preset in presets]
    assert lengths == [(3600, 4800), (3600, 1800), (2400, 1800)]
    for preset in presets:
        assert replace(preset, unet=presets[0].unet, finish=presets[0].finish) == presets[0] == PRESETS["cpu"]
    capsys.readouterr()
    for flag in ("--begin", "--finish"):
        assert call(monkeypatch, "oracle", "cat", flag, "0") == 2
        assert capsys.readouterr().err == f"error: {flag} is 0: give 1 update or more.\n"


def test_a_concept_that_the_world_has_not_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "oracle", "gearbox") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "gearbox" in line


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("turpentine.emoji.train.retrain.retrain", stop)
    assert call(monkeypatch, "oracle", "cat") == 130
    assert capsys.readouterr().err == "Stopped. The same command goes on from the last checkpoint.\n"
