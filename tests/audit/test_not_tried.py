"""What an audit says that it did not try is true of it."""

from __future__ import annotations

from typing import Any

from turpentine.audit.not_tried import not_tried
from turpentine.core.plugins import plugins


def said(**other: Any) -> str:
    one = {"attacks": [["cce", {"updates": "250"}]], "left_out": [], "judge": ["emoji"], "second": None, "arms": {}}
    return not_tried({**one, **other})


def test_attacks_that_were_left_out_are_named_apart_from_those_that_nobody_chose() -> None:
    text = said(left_out=["p4d", "mma"])
    assert text.startswith("There was no time for p4d, mma.") and "seed-search" in text
    others = text.partition("other attacks tried: ")[2].partition(".")[0].split(", ")
    assert set(others) == set(plugins("attack")) - {"cce", "p4d", "mma"}
    assert "no time" not in said()
    assert "other attacks" not in said(attacks=[[name, {}] for name in plugins("attack")])


def test_judges_languages_and_oracles_are_said_as_they_were() -> None:
    assert "No judge looked but emoji, and no person." in said()
    assert "No judge looked but emoji and towers, and no person." in said(second=["towers", "1"])
    assert "in other languages" in said(attacks=[["paraphrases", {"file": "None"}]])
    for own in (["paraphrases", {"file": "ab12"}], ["prompt-list", {"prompts": "ab12"}]):
        assert "in other languages" not in said(attacks=[own])
    assert "No model that never saw it was there" in said(arms={"edited": 0, "unnamed": 0})
    one, two = (said(arms=dict.fromkeys(names)) for names in (("oracle",), ("oracle", "oracle 2")))
    assert "was of one seed" in one and "one seed" not in two and "never saw it was there" not in one + two
