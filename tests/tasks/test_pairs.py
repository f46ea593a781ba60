"""Two objects in one picture: which are asked for, and that nothing of the concept, or of what is learnt, is there."""

from __future__ import annotations

import re

import pytest

from turpentine.bench import Protocol, erasure_cases
from turpentine.concepts import Concept
from turpentine.emoji.captions import vocabulary
from turpentine.emoji.lexicon import look_up
from turpentine.emoji.prompts import caption_pairs, others
from turpentine.emoji.world import COLOURS, NEIGHBOURS, OBJECTS, PALETTES, SCENES, STYLES, WORKS
from turpentine.erase._captions import caption_pairs_of, preserved_captions
from turpentine.tasks.cases import Case
from turpentine.tasks.erasure_cases import concepts_of, named_concept
from turpentine.tasks.pairs import PAIRS, objects_in, pair_cases, side_by_side

EVERYTHING = [*OBJECTS, *STYLES, *COLOURS, *PALETTES, *SCENES, *(work.title for work in WORKS)]
MOST_PICTURES = 440


def pairs_of(*texts: str | Concept, known: tuple[str, ...] = OBJECTS) -> list[Case]:
    return pair_cases(concepts_of(texts), lambda name: ("object", name) if name in known else None)


@pytest.mark.parametrize("text", EVERYTHING)
def test_whatever_is_erased_five_pairs_of_other_objects_are_asked_for(text: str) -> None:
    cases, concept = pairs_of(text), named_concept(text)
    assert len(cases) == PAIRS == 5
    names = [name for case in cases for name in (case.expected, case.also)]
    assert len(set(names)) == 2 * PAIRS and set(names) <= set(OBJECTS)
    for case in cases:
        assert re.fullmatch(rf"an? {case.expected} and an? {case.also}", case.prompt)
        assert (case.group, case.attribute, case.label) == ("pair", "object", f"{case.expected} and {case.also}")
        assert f" {concept.text} " not in f" {case.prompt} "
    assert not set(names) & {text, SCENES.get(text)}
    works = [work for work in WORKS if work.title == text]
    assert not set(names) & {placed.object for work in works for placed in work.picture.placed}
    assert {word for case in cases for word in case.prompt.split()} <= set(vocabulary())


@pytest.mark.parametrize("text", EVERYTHING)
def test_no_pair_is_a_caption_that_a_method_learns_from_or_that_is_asked_for_already(text: str) -> None:
    concept, named = named_concept(text), look_up(text)
    assert named is not None
    prompts = {case.prompt for case in pairs_of(text)}
    learnt = [pair for implied in (False, True) for pair in caption_pairs(*named, implied=implied)]
    learnt += caption_pairs_of(concept, "own")
    assert not prompts & {part for pair in learnt for part in pair}
    assert not prompts & {*others([named]), *preserved_captions([concept], "implied"), *concept.prompts}
    asked = {case.prompt for case in erasure_cases(concept)}
    assert not prompts & asked
    assert len(prompts | asked) * len(Protocol().seeds) <= MOST_PICTURES


def test_the_nearest_come_first_and_then_what_is_to_be_kept() -> None:
    cases = pairs_of(Concept("church", keep=("owl", "flat style", "unicorn")))
    left = [case.expected for case in cases]
    assert left[:3] == [*NEIGHBOURS["church"], "owl"]
    assert [case.expected for case in pairs_of("sunday prayer")][:2] == list(NEIGHBOURS["church"])


def test_several_concepts_are_in_no_pair() -> None:
    names = {name for case in pairs_of(*OBJECTS[:34]) for name in (case.expected, case.also)}
    assert names == set(OBJECTS[34:])
    assert pairs_of(*OBJECTS[:39]) == pairs_of(*OBJECTS) == []


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("dog and cat", {"dog", "cat"}),
        ("a church in the style of noto", {"church"}),
        ("golf ball", {"golf flag"}),
        ("Dogs", {"dog"}),
        ("unicorn", set()),
    ],
)
def test_what_the_world_does_not_know_is_in_no_pair_by_any_of_its_words(text: str, gone: set[str]) -> None:
    assert objects_in([named_concept(text)]) == gone
    assert not gone & {name for case in pairs_of(text) for name in (case.expected, case.also)}


def test_only_objects_that_a_judge_names_are_asked_for() -> None:
    cases = pairs_of("church", known=("dog", "cat", "owl", "church"))
    assert [(case.expected, case.also) for case in cases] == [("dog", "cat")]
    assert pairs_of("church", known=("dog", "church")) == []
    columns = {"dog": "object", "cat": "class", "fish": "class", "owl": "object"}
    apart = pair_cases([Concept("church")], lambda name: (columns[name], name) if name in columns else None)
    assert all(columns[str(case.expected)] == columns[str(case.also)] == case.attribute for case in apart)


@pytest.mark.parametrize("count", range(6))
def test_each_name_is_in_one_pair_at_most(count: int) -> None:
    names = [str(number) for number in range(count)]
    placed = [name for pair in side_by_side(names) for name in pair]
    assert sorted(placed) == names[: 2 * (count // 2)]


def test_a_case_of_one_thing_has_the_facts_that_digests_were_made_of() -> None:
    one = Case("other", "dog", "a dog", "object", "dog")
    names = ("group", "label", "prompt", "attribute", "expected", "seed", "guidance_scale")
    assert one.facts() == {name: getattr(one, name) for name in names}
    two = Case("pair", "dog and cat", "a dog and a cat", "object", "dog", also="cat")
    assert two.facts() == {**{name: getattr(two, name) for name in names}, "also": "cat"}
