"""A study's file: those that ship are whole, and each fault is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from study.studies import PLAN

from turpentine.core.errors import BadArgument, TurpentineError
from turpentine.study.spec import read_plan, shipped_studies


@pytest.mark.parametrize("name", ["artist-likeness", "artist-likeness-real"])
def test_those_that_ship_are_whole_and_ask_about_likeness(name: str) -> None:
    spec, _, _ = read_plan(name)
    assert name in shipped_studies()
    assert spec.questions[0].worded("lumen", "") == "How likely is it that this is a true work by lumen?"
    assert spec.qualification is not None
    assert "stop at any time" in spec.consent and "delete" in spec.consent


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("seed: 3", "sead: 3", "line 8: there is no key 'sead': did you mean 'seed'?"),
        ("ratings: 2", "ratings: many", "line 17: ratings is 'many': "),
        ("ratings: 2", "ratings: true", "line 17: ratings cannot be true."),
        ("kind: rating", "kind: rate", "line 14: questions.0.kind is 'rate': "),
        ("{subject}", "{artist}", "line 15: there is no {artist} to put into a text: there are subject, prompt."),
        ("{subject}", "{subject", "line 15: text has a brace that is not closed"),
        ("{subject}", "{subject:x}", "line 15: {subject} stands in a text alone: leave out what follows its name."),
        ("{subject}", "{subject!r}", "line 15: {subject} stands in a text alone"),
        ("{folder: examples}", "{folder: examples, title: 'By {artist}'}", "line 11: there is no {artist} to put"),
        ("examples: 2", "exampels: 2", "line 16: there is no key 'exampels': did you mean 'examples'?"),
        (
            "- folder: pictures",
            "- foldr: pictures",
            "line 10: say what it is by one of the keys run, folder, table, world.",
        ),
        ("- folder: pictures", "- {folder: pictures, seeds: 2}", "there is no key 'seeds': there are folder, blur."),
        ("{trials: 2, right: 1}", "{trials: 2, right: 3}", "line 20: 3 of 2 trials cannot be right: lower right."),
        ("fastest: 0", "fastest: -1", "line 23: exclusions.fastest is -1: "),
        ("examples: {folder: examples}\n", "", "the question likeness shows examples: say where they are"),
        ("title: How likely is it a true work?\n", "", "'title' is missing."),
        ("consent: |", "consent: [", "is no YAML file"),
    ],
)
def test_a_fault_is_named_with_its_line(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    assert old in PLAN
    path.write_text(PLAN.replace(old, new))
    with pytest.raises(BadArgument) as caught:
        read_plan(str(path))
    assert sentence in str(caught.value)
    assert "study.yaml" in str(caught.value)


def test_checks_need_pictures_with_a_known_answer_and_names_are_given_once(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(PLAN.replace("examples: {folder: examples}\n", "").replace("    examples: 2\n", ""))
    with pytest.raises(BadArgument, match="need pictures with a known answer"):
        read_plan(str(path))
    question = "  - {name: likeness, kind: presence, text: 'Is it there?'}\n"
    path.write_text(PLAN.replace("questions:\n", "questions:\n" + question))
    with pytest.raises(BadArgument, match="two questions have one name"):
        read_plan(str(path))


def test_what_is_not_there_is_named() -> None:
    for name in ("artist-likenes", "nothing.yaml"):
        with pytest.raises(TurpentineError, match=name):
            read_plan(name)
