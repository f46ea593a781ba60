"""`turpentine studio`: what is refused before a model is loaded. tests/studio/test_page.py opens it."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="gradio is not installed: pip install '.[studio]'"
)
Command = Callable[..., tuple[int, str, str]]


def test_without_the_extra_it_says_how_to_install_it(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "gradio" else find(name, *a))
    code, out, err = command("studio")
    assert (code, out) == (2, "") and "pip install 'turpentine[studio]'" in err and err.count("\n") == 1


@needs_gradio
@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (("--edit", "nowhere:0.5"), "nowhere"),
        (("--edit", "nowhere:strong"), "scale"),
        (("--by", "nobody"), "nobody"),
        (("--port", "-1"), "--port"),
        (("--port", "99999"), "99999"),
        (("--out", "{file}"), "is a file"),
        (("--model", "nowhere/at/all/x"), "nowhere"),
        (("--scale", "1"), "--scale"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(
    tokens: tuple[str, ...], says: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    code, out, err = command("studio", *(token.format(file=tmp_path / "file") for token in tokens))
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@needs_gradio
def test_a_taken_port_is_said(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = command("studio", "--port", str(port))
    assert code == 2 and f"The port {port} is taken" in err
