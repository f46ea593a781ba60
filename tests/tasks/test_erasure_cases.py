from __future__ import annotations

from collections import Counter

import pytest

from turpentine.bench import GROUPS, Case, Protocol, erasure_cases, plain_cases, world_concept
from turpentine.concepts import Concept
from turpentine.emoji.captions import vocabulary
from turpentine.emoji.lexicon import look_up
from turpentine.emoji.world import COLOURS, NEIGHBOURS, OBJECTS, PALETTES, SCENES, STYLES, TEN, WORKS
from turpentine.tasks.erasure_cases import named_concept, with_truth

EVERYTHING = [*OBJECTS, *STYLES, *COLOURS, *PALETTES, *SCENES, *(work.title for work in WORKS)]
MOST_PICTURES = 400


def labels(cases: list[Case], group: str) -> set[str]:
    return {case.label for case in cases if case.group == group}


def expected(cases: list[Case], group: str) -> set[tuple[str | None, str | None]]:
    return {(case.attribute, case.expected) for case in cases if case.group == group}


@pytest.mark.parametrize("text", EVERYTHING)
def test_everything_in_the_world_can_be_erased_within_the_budget(text: str) -> None:
    concept = world_concept(text)
    cases = erasure_cases(concept)
    assert len({case.prompt for case in cases}) * len(Protocol().seeds) <= MOST_PICTURES
    assert {case.prompt for case in cases} >= set(concept.prompts)
    assert all(case.attribute for case in cases)
    assert [case.group for case in cases] == sorted((case.group for case in cases), key=list(GROUPS).index)
    assert max(Counter(cases).values()) == 1


@pytest.mark.parametrize("text", EVERYTHING)
def test_what_is_to_be_kept_never_names_what_is_erased(text: str) -> None:
    concept = world_concept(text)
    for case in erasure_cases(concept):
        if case.group not in ("erased", "scene"):
            assert f" {concept.text} " not in f" {case.prompt} "


@pytest.mark.parametrize("text", EVERYTHING)
def test_prompts_keep_to_the_words_of_the_world(text: str) -> None:
    words = {word for case in erasure_cases(world_concept(text)) for word in case.prompt.split()}
    assert words <= set(vocabulary())


@pytest.mark.parametrize("obj", TEN)
def test_an_object_has_its_scenes_neighbours_and_the_rest_of_the_ten(obj: str) -> None:
    cases = erasure_cases(Concept(obj))
    assert expected(cases, "erased") == {("object", obj)}
    assert labels(cases, "scene") == {scene for scene, shown in SCENES.items() if shown == obj}
    assert labels(cases, "scene")
    assert labels(cases, "neighbour") == set(NEIGHBOURS[obj])
    assert labels(cases, "other") == set(TEN) - {obj} - set(NEIGHBOURS[obj])
    assert labels(cases, "style") == set(STYLES)
    assert labels(cases, "colour") == set(COLOURS)
    assert labels(cases, "work") == {work.title for work in WORKS}


def test_scenes_do_not_name_their_object() -> None:
    for obj in TEN:
        for case in erasure_cases(Concept(obj)):
            if case.group == "scene":
                assert obj not in case.prompt
                assert (case.attribute, case.expected) == ("object", obj)


def test_the_concepts_own_prompts_come_first_and_others_that_name_it_follow() -> None:
    cases = [case for case in erasure_cases(Concept("dog", templates=("my {}",))) if case.group == "erased"]
    assert cases[0] == Case("erased", "dog", "my dog", "object", "dog")
    assert len(cases) == 7
    assert all("dog" in case.prompt for case in cases)


def test_a_style_has_the_other_styles_as_its_kind_and_objects_beside() -> None:
    cases = erasure_cases(world_concept("noto"))
    assert expected(cases, "erased") == {("style", "noto")}
    assert labels(cases, "other") == set(STYLES) - {"noto"}
    assert labels(cases, "object") == set(TEN)
    assert not labels(cases, "scene")


def test_an_artist_has_all_works_erased_titles_implied_and_the_works_of_others_kept() -> None:
    cases = erasure_cases(world_concept("lumen"))
    own = {work.title for work in WORKS if work.artist == "lumen"}
    assert expected(cases, "erased") == {("artist", "lumen")}
    assert {f"{title} by lumen" for title in own} <= {case.prompt for case in cases if case.group == "erased"}
    assert labels(cases, "scene") == own
    assert labels(cases, "other") == {work.title for work in WORKS} - own


def test_a_work_has_its_artists_others_as_neighbours() -> None:
    cases = erasure_cases(world_concept("the night watcher by lumen"))
    assert expected(cases, "erased") == {("work", "the night watcher")}
    assert labels(cases, "neighbour") == {"quiet harbor", "last light"}
    assert "the night watcher" not in labels(cases, "other") | labels(cases, "work")


def test_a_colour_is_not_asked_for_where_it_is_erased() -> None:
    cases = erasure_cases(world_concept("blue"))
    assert expected(cases, "erased") == {("colour", "blue")}
    assert labels(cases, "other") == set(COLOURS) - {"blue"}


def test_a_scene_has_the_object_that_it_shows_as_its_neighbour() -> None:
    cases = erasure_cases(world_concept("sunday prayer"))
    assert expected(cases, "erased") == {("object", "church")}
    assert labels(cases, "neighbour") == {"church"}
    assert labels(cases, "other") == set(SCENES) - {"sunday prayer"}


def test_what_the_world_does_not_know_has_no_truth_and_the_rest_is_measured() -> None:
    cases = erasure_cases(Concept("unicorn"))
    assert expected(cases, "erased") == {(None, None)}
    assert labels(cases, "object") == set(TEN)


def test_concepts_to_keep_are_measured_as_neighbours() -> None:
    cases = erasure_cases(Concept("church", keep=("owl", "a cat", "flat style", "unicorn")))
    assert {"owl", "cat", "unicorn"} <= labels(cases, "neighbour")
    assert Case("neighbour", "unicorn", "unicorn") in cases
    assert "flat" in labels(cases, "neighbour")


def test_several_concepts_are_all_erased_and_none_of_them_kept() -> None:
    cases = erasure_cases([Concept("church"), Concept("house"), world_concept("flat")])
    assert {("object", "church"), ("object", "house"), ("style", "flat")} == expected(cases, "erased")
    assert labels(cases, "neighbour") == {"castle"}
    assert all("flat" not in case.prompt for case in cases if case.group in ("neighbour", "other", "colour"))


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("church", "object", "church"),
        ("A  Church ", "object", "church"),
        ("gas pump", "object", "gas pump"),
        ("noto style", "style", "noto"),
        ("in flat style", "style", "flat"),
        ("blue background", "colour", "blue"),
        ("by lumen", "artist", "lumen"),
        ("three kings by tamsin", "work", "three kings"),
        ("the orchard", "work", "the orchard"),
        ("road trip", "scene", "road trip"),
    ],
)
def test_the_world_is_looked_up_by_what_people_write(text: str, kind: str, name: str) -> None:
    assert look_up(text) == (kind, name)
    assert world_concept(text).kind == kind


def test_an_unknown_text_is_an_object() -> None:
    assert look_up("unicorn") is None
    assert world_concept("unicorn") == Concept("unicorn")


def test_plain_cases_have_no_truth() -> None:
    cases = plain_cases(Concept("Van Gogh", "artist", keep=("Monet",)))
    assert {case.attribute for case in cases} == {None}
    assert labels(cases, "erased") == {"Van Gogh"}
    assert labels(cases, "neighbour") == {"Monet"}
    assert len(labels(cases, "object")) == 10


def test_plain_cases_ask_for_others_of_the_kind_and_not_for_the_concept_again() -> None:
    cases = plain_cases(Concept("Van Gogh", "artist"))
    assert "Claude Monet" in labels(cases, "other")
    assert labels(cases, "other").isdisjoint({"Van Gogh"})
    cases = plain_cases(Concept("church"))
    assert len(labels(cases, "other")) == 9
    assert labels(cases, "object") == set()


def test_a_case_keeps_the_truth_that_a_judge_can_tell_and_else_gets_that_of_another() -> None:
    cases = [Case("erased", "church", "a church", "object", "church"), Case("other", "dog", "a dog", "style", "ink")]
    places = {"ink": ("class", "ink drawing")}
    judged = with_truth(cases, ["object", "class"], places.get)
    assert [(case.attribute, case.expected) for case in judged] == [("object", "church"), ("class", "ink drawing")]
    assert with_truth(cases, [], lambda text: None)[0].attribute is None


def test_a_text_that_many_models_know_has_its_kind() -> None:
    assert named_concept("van gogh") == Concept("van gogh", "artist")
    assert named_concept("watercolour").kind == "style"
    assert named_concept("noto style") == world_concept("noto style")
    assert named_concept("unicorn") == Concept("unicorn")


def test_of_things_that_are_named_together_each_is_looked_for() -> None:
    erased = [case for case in erasure_cases("a church in the style of noto") if case.group == "erased"]
    prompts = ("church in noto style", "a church in noto style")
    assert [(case.prompt, case.attribute, case.expected) for case in erased] == [
        *((prompt, "object", "church") for prompt in prompts),
        *((prompt, "style", "noto") for prompt in prompts),
    ]


def test_of_two_objects_in_one_picture_each_is_looked_for() -> None:
    erased = [case for case in erasure_cases("dog and cat") if case.group == "erased"]
    assert {(case.attribute, case.expected) for case in erased} == {("object", "dog"), ("object", "cat")}
    assert {case.prompt for case in erased} == {"dog and a cat", "a dog and a cat"}
