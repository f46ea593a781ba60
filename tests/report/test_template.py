"""Templates of pages: what they know beside jinja's own."""

from __future__ import annotations

import jinja2
import pytest
from report.page import Page

from turpentine.report.template import fill


@pytest.mark.parametrize(
    ("value", "is_folded"),
    [
        ("ab" * 32, True),
        ("revision " + "0" * 64, True),
        ("0" * 40, True),
        ("ab" * 8, False),
        ("ab" * 33, False),
        ("emoji, revision " + "0" * 64, True),
        ("x" + "ab" * 32, False),
        ("a church", False),
    ],
)
def test_a_digest_is_folded_and_no_other_fact(value: str, is_folded: bool) -> None:
    html = fill("facts.html", facts={"weights": value}, command="")
    assert ("<details" in html) == is_folded and all(word in Page(html).text for word in value.split())


def test_no_line_ends_between_a_number_and_its_percent() -> None:
    html = fill("facts.html", facts={"lost": "40 % (21 to 60 %), an edge (0–9) % of it, and % alone"}, command="")
    assert "40\u00a0% (21 to 60\u00a0%), an edge (0–9)\u00a0% of it, and % alone" in html


def test_a_name_that_is_not_given_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        fill("facts.html", facts={})
