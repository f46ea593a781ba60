from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from functools import partial

import pytest
from rich.console import Console

from turpentine.cli import terminal


def test_text_from_outside_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show_table(["name"], [["\x1b[31mred\x1b[0m [bold]:church:"]])
    terminal.warn("beware\x1b]0;title\x07\nnow")
    out, err = capsys.readouterr()
    assert out.splitlines()[1].rstrip() == "[31mred[0m [bold]:church:"
    assert err == "Warning: beware]0;title now\n"


def test_lines_in_a_pipe_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    name = "unet.up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_out.0"
    terminal.show_table(["label", "name"], [["UP9", name]])
    terminal.say("x" * 500)
    out = capsys.readouterr().out
    assert name in out
    assert "x" * 500 in out


def test_numbers_stand_to_the_right_and_indents_stay(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show_table(["what", "n"], [["objects", 10], ["  dog", 7]])
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "what      n",
        "objects  10",
        "  dog     7",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_encoding_writes_signs_that_it_lacks(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    with warnings.catch_warnings():
        terminal.prepare()
        terminal.show_table(["η", "‖ΔW‖"], [["λ ≤ 1", "█▏ 教"]])
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)
    expected = {"ascii": ["eta", "||DeltaW||", "lambda <= 1", "#- ?"], "utf-8": ["η", "‖ΔW‖", "λ ≤ 1", "█▏ 教"]}
    assert all(part in text for part in expected.get(encoding, expected["ascii"]))


def test_closed_streams_are_written_to_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    with warnings.catch_warnings():
        terminal.prepare()
        terminal.say("a church")
        terminal.say_json([])
        terminal.complain("a dog", as_json=True)


NAME = "a-picture-with-a-rather-long-name-of-its-own.png"
WIDE = ["picture", *(f"column {n}" for n in range(9))]


@pytest.mark.parametrize("columns", [WIDE, ["picture", "what it is"], ["", ""]], ids=["many", "prose", "facts"])
def test_eighty_columns_show_every_table_readably(
    columns: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_WIDTH_OF_A_PIPE", 80)
    row = [NAME, *("0.123" if columns is WIDE else "words " * 30 for _ in columns[1:])]
    terminal.show_table(columns, [row])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(name in "\n".join(lines) for name in columns)
    # No piece of a word or a name stands on a line alone.
    assert NAME[:14] in "\n".join(lines) and len(lines) <= 14
    assert sum(line.count("0.123") + line.count("words") for line in lines) == (9 if columns is WIDE else 30)


def test_a_table_of_whole_words_breaks_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_WIDTH_OF_A_PIPE", 60)
    row = ["a-name-of-words", "words " * 9, "somebody/with-a-long-name"]
    terminal.show_table(["name", "about", "of"], [row])
    folded = capsys.readouterr().out
    terminal.show_table(["name", "about", "of"], [row], whole_words=True)
    assert row[2] not in folded and row[2] in capsys.readouterr().out


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody watches, in eighty columns without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    screen = partial(Console, force_terminal=True, color_system=None)
    monkeypatch.setattr(terminal, "_console", lambda *, stderr: screen(stderr=stderr))


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("show", [terminal.say_prose, terminal.warn, terminal.complain])
def test_sentences_are_folded_between_words_on_a_screen(
    show: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    words = "the embedded model knows a small world of objects and styles " * 4
    show(words)
    lines = "".join(capsys.readouterr()).splitlines()
    assert len(lines) > 1 and max(map(len, lines)) <= 80
    assert set(" ".join(lines).split()) <= {*words.split(), "Warning:"}


@pytest.mark.usefixtures("narrow")
def test_a_command_in_a_sentence_can_be_copied_from_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    command = "turpentine erase church --out " + "a-folder/" * 9
    terminal.complain(f"Interrupted. The same command goes on from here: {command}")
    assert command in capsys.readouterr().err


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("show", [terminal.say_prose, terminal.warn, terminal.complain])
def test_a_path_longer_than_the_screen_can_be_copied_from_it(
    show: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/a-folder" * 12
    show(f"There is a picture of another recipe at {path} already, which stays as it is, and the new one is beside it.")
    lines = "".join(capsys.readouterr()).splitlines()
    assert len(lines) == 3 and lines[1] == path


@pytest.mark.usefixtures("narrow")
def test_indented_sentences_keep_their_margin(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_prose("words " * 40 + "\n", indent=2)
    *lines, last = capsys.readouterr().out.split("\n")[:-1]
    assert not last and len(lines) == 4
    assert all(line.startswith("  words") and len(line) <= 80 for line in lines)


def test_json_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_json({"prompt": "église\x1b"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out) == {"prompt": "église\x1b"}


def test_warnings_of_ours_are_lines_and_those_of_libraries_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        terminal.prepare()
        warnings.warn_explicit("ours", UserWarning, "text.py", 1, module="turpentine.models.text")
        warnings.warn_explicit("theirs", UserWarning, "x.py", 1, module="torch.nn")
        warnings.warn_explicit("old", DeprecationWarning, "x.py", 1, module="turpentine.models")
    assert capsys.readouterr().err == "Warning: ours\n"
