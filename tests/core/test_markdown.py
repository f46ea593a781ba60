from __future__ import annotations

import re

import pytest
from report.page import HOSTILE

from turpentine.core.markdown import escaped, markdown_table


@pytest.mark.parametrize("text", [HOSTILE, "a | b", "*x* _y_ `z`", "[a](b)", "# a", "~~x~~ $y$", "&lt;b&gt;", "\\"])
def test_no_mark_is_left_and_the_text_is_the_same(text: str) -> None:
    plain = re.sub(r"\\(.)", "", escaped(text))
    assert not set(plain) & set("`*_[]<>|#~$\\")
    assert not re.search(r"&#?\w+;", plain)
    assert re.sub(r"\\(.)", r"\1", escaped(text)) == re.sub("[\x1b\u202e]", "", text)


def test_what_is_no_mark_stays_as_it_is() -> None:
    assert escaped("50 % of cats & dogs, 3.1 (2–4)\nmore") == "50 % of cats & dogs, 3.1 (2–4) more"


def test_a_table_has_its_head_a_rule_and_its_rows() -> None:
    text = markdown_table(("a", "b"), [("1", "2"), ("3", "4")])
    assert text.splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |", "| 3 | 4 |"]
