from __future__ import annotations

import json
import warnings

import pytest

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
