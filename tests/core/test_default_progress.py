"""In Python, long work shows a bar where somebody sees it, unless that is switched off."""

from __future__ import annotations

import os
import pty
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

import turpentine as tp
from turpentine.concepts import Concept
from turpentine.core import bars, default_progress
from turpentine.core.bars import NotebookBars, PhaseBars
from turpentine.core.default_progress import SWITCH, shows_phases
from turpentine.core.progress import Progress
from turpentine.core.settings import Settings
from turpentine.explain import Maps
from turpentine.models import Model


@pytest.fixture(autouse=True)
def _from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "SILENT", 0.0)
    monkeypatch.setattr(default_progress, "_switch", {})
    monkeypatch.delenv(SWITCH, raising=False)


class Terminal:
    """A real one, on stderr inside of a `with` block; afterwards `text` is what was written on it."""

    text = ""

    def __enter__(self) -> Terminal:
        self._patch = pytest.MonkeyPatch()
        self._master, slave = pty.openpty()
        self._patch.setattr(sys, "stderr", os.fdopen(slave, "w"))
        self._patch.setenv("TERM", "xterm")
        self._patch.setenv("COLUMNS", "100")
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr.close()
        self._patch.undo()
        written = b""
        try:
            while part := os.read(self._master, 65536):
                written += part
        except OSError:  # nobody writes any more
            pass
        os.close(self._master)
        self.text = written.decode()


def test_drawing_shows_a_bar_in_a_terminal(sd1: Model) -> None:
    with Terminal() as terminal:
        sd1.generate("a dog", seeds=[0, 1], steps=2)
    assert "Drawing" in terminal.text and "4/4 steps" in terminal.text


def test_methods_and_instruments_show_one_bar_each(sd1: Model) -> None:
    with Terminal() as terminal:
        tp.erase.ESD(steps=1, trajectories=1, sampling_steps=2)(sd1, Concept("church"))
        Maps(steps=1)(sd1, "a dog")
        tp.amplify.CADAmplify(pictures=1, draws=1, sampling_steps=2)(sd1, Concept("church"))
    text = terminal.text
    assert "ESD" in text and "Maps" in text and "CADAmplify" in text and "100 %" in text
    assert "Drawing" not in text, "what a method draws is a part of its own bar"


@pytest.mark.parametrize("way", ["argument", "switch", "environment"])
def test_it_is_off_by_a_switch(sd1: Model, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "switch":
        tp.set_progress_bars(False)
    if way == "environment":
        monkeypatch.setenv(SWITCH, "0")
    with Terminal() as terminal:
        sd1.generate("a dog", steps=1, progress=False if way == "argument" else None)
    assert terminal.text == ""


def test_the_switch_overrides_the_environment(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "off")
    tp.set_progress_bars(True)
    with Terminal() as terminal:
        sd1.generate("a dog", steps=1)
    assert "Drawing" in terminal.text


def test_nothing_is_written_where_stderr_is_no_terminal(sd1: Model, capfd: pytest.CaptureFixture[str]) -> None:
    sd1.generate("a dog", steps=1)
    assert capfd.readouterr() == ("", "")


def test_a_function_of_the_caller_is_called_and_no_bar_is_there(sd1: Model) -> None:
    calls: list[tuple[int, int]] = []
    with Terminal() as terminal:
        sd1.generate("a dog", steps=2, progress=lambda *call: calls.append(call))
    assert calls == [(1, 2), (2, 2)] and terminal.text == ""


def test_an_error_leaves_the_terminal_and_the_next_call_as_they_are(sd1: Model) -> None:
    @dataclass(frozen=True)
    class Broken(Settings):
        def __call__(self, *, progress: Progress | None = None) -> None:
            assert progress is not None
            progress(1, 2)
            raise RuntimeError("half-way")

    with Terminal() as terminal:
        with pytest.raises(RuntimeError, match="half-way"):
            Broken()()
        sd1.generate("a dog", steps=1)
    text = terminal.text
    assert "Broken" in text and "Drawing" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor is back"


def test_phases_have_their_labels() -> None:
    @shows_phases({"edit": ("Erasing", "rows")})
    def work(progress: Any = None) -> None:
        progress("edit", 3, 3)
        progress("after", 1, 2)

    with Terminal() as terminal:
        work()
    assert "3/3 rows" in terminal.text and "Erasing" in terminal.text and "After" in terminal.text


class Handles:
    """Stands for a notebook's browser: what is under a cell, by handle."""

    def __init__(self) -> None:
        self.cells: list[list[str]] = []

    def __call__(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw and display_id
        cell = [data["text/html"]]
        self.cells.append(cell)
        return SimpleNamespace(update=lambda data, raw: cell.append(data["text/html"]))


def test_a_notebook_shows_a_bar_for_each_label_and_updates_it_now_and_then() -> None:
    page, now = Handles(), [0.0]
    shown = PhaseBars({"a": ("<b>", "steps")}, lambda: NotebookBars(page, lambda: now[0]), lambda: now[0])
    for done in range(11):
        shown("a", done, 10)
        now[0] += 0.1
    shown.close()
    (cell,) = page.cells
    assert len(cell) < 9 and "10/10 steps" in cell[-1]
    assert "&lt;b&gt;" in cell[-1] and '<progress value="10" max="10"' in cell[-1]
    assert "s left" in cell[3]


def test_a_notebook_is_known_by_its_kernel(
    sd1: Model, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    page = Handles()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, __path__=[]))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=page))
    sd1.generate("a dog", steps=2)
    assert "2/2 steps" in page.cells[0][-1]
    del shell.kernel  # IPython in a terminal that is none here
    sd1.generate("a dog", steps=2)
    assert len(page.cells) == 1 and capfd.readouterr() == ("", "")


def test_short_work_shows_nothing() -> None:
    now = [0.0]
    bars.SILENT, page = 1.0, Handles()  # the fixture puts it back
    shown = PhaseBars({}, lambda: NotebookBars(page), lambda: now[0])
    for now[0], done in ((0.0, 0), (0.5, 1), (0.9, 2)):
        shown("x", done, 2)
    assert page.cells == []
    now[0] = 1.5
    shown("x", 2, 3)
    assert len(page.cells) == 1
