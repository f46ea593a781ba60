"""What must be fetched is asked about at a terminal, and told where nobody can answer."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from select import select

import pytest

from turpentine.cli.fetching import _ask, agree_to_fetch
from turpentine.core.errors import BadArgument

WHO, WHAT = "The model owner/name", "owner/name from the Hugging Face hub (3.9 GB)"


def _on_screen(master: int) -> str:
    """Return all that stands on a screen by now."""
    text = b""
    while select([master], [], [], 0.2)[0]:
        text += os.read(master, 4096)
    return text.decode()


@contextmanager
def typed_at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> Iterator[Callable[[], str]]:
    """Answer at a terminal, and give what reads its screen."""
    master, slave = pty.openpty()
    _ask.cache_clear()
    with open(slave, encoding="utf-8") as answers, open(os.dup(slave), "w", encoding="utf-8") as screen:
        monkeypatch.setattr("sys.stdin", answers)
        monkeypatch.setattr("sys.stderr", screen)
        os.write(master, answer.encode())
        yield partial(_on_screen, master)
    os.close(master)
    _ask.cache_clear()


@pytest.mark.parametrize("answer", ["\n", "y\n", "Yes\n"])
def test_a_yes_is_enough_once(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    with typed_at_a_terminal(monkeypatch, answer) as screen:
        agree_to_fetch(WHO, WHAT)
        agree_to_fetch(WHO, WHAT)  # nothing more is typed: asked again, it would wait for ever
        text = screen()
    assert text.count("3.9 GB") == 1 and "[Y/n]" in text


@pytest.mark.parametrize("answer", ["n\n", "what?\n", "\x04"])
def test_all_else_fetches_nothing(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    with (
        typed_at_a_terminal(monkeypatch, answer),
        pytest.raises(BadArgument, match="The model owner/name was not fetched: answer y"),
    ):
        agree_to_fetch(WHO, WHAT)


def test_where_nobody_can_answer_it_is_told_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    agree_to_fetch(WHO, WHAT)
    assert "needs owner/name from the Hugging Face hub (3.9 GB): it is fetched now." in capsys.readouterr().err
