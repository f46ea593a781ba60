"""No library sends statistics of its use, unless the user switched that on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny import tiny_sd1

import turpentine as tp
from turpentine.cli import terminal
from turpentine.core.telemetry import SWITCHES, switch_off


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SWITCHES:
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("unset")
def test_a_model_is_loaded_without_statistics(tmp_path: Path) -> None:
    tiny_sd1().save_pretrained(tmp_path)
    tp.load(tmp_path)
    assert {name: os.environ.get(name) for name in SWITCHES} == SWITCHES


@pytest.mark.usefixtures("unset")
def test_the_command_line_begins_without_statistics() -> None:
    terminal.prepare()
    assert {name: os.environ.get(name) for name in SWITCHES} == SWITCHES


@pytest.mark.usefixtures("unset")
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    switch_off()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
