import pytest

from turpentine import Concept
from turpentine.concepts import TEMPLATES, with_article
from turpentine.core.errors import BadArgument, EmptyConcept


@pytest.mark.parametrize(
    ("kind", "prompts"),
    [
        ("object", ("church", "a church")),
        ("style", ("church style", "a picture in church style")),
        ("colour", ("church background", "a picture on a church background")),
        ("artist", ("by church",)),
        ("scene", ("church",)),
        ("work", ("church",)),
    ],
)
def test_each_kind_has_its_prompts(kind, prompts):
    assert Concept("church", kind=kind).prompts == prompts


def test_own_templates_take_the_place_of_the_kinds():
    assert Concept("dog", templates=("a photo of {}", "{}!")).prompts == ("a photo of dog", "dog!")


@pytest.mark.parametrize(
    ("concept", "prompt"),
    [
        (Concept("owl"), "an owl"),
        (Concept("Apple"), "an Apple"),
        (Concept("orange", "colour"), "a picture on an orange background"),
        (Concept("owl", templates=("a photo of a {}",)), "a photo of an owl"),
        (Concept("owl", templates=("a photo of the {}",)), "a photo of the owl"),
        (Concept("owl", templates=("pizza {}",)), "pizza owl"),
    ],
)
def test_the_article_suits_the_text(concept, prompt):
    assert concept.prompts[-1] == prompt


def test_an_article_before_a_noun():
    assert [with_article(noun) for noun in ("church", "owl", "umbrella")] == ["a church", "an owl", "an umbrella"]


def test_braces_in_the_text_are_text():
    assert Concept("{0} {x}").prompts[1] == "a {0} {x}"


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_an_empty_text_is_an_error(text):
    with pytest.raises(EmptyConcept, match="is empty"):
        Concept(text)


@pytest.mark.parametrize("templates", [(), ("no place",), ("{} and {}",), ("{text}",)])
def test_templates_need_one_place_for_the_text(templates):
    with pytest.raises(BadArgument):
        Concept("dog", templates=templates)


def test_an_unknown_kind_is_an_error_that_lists_the_kinds():
    with pytest.raises(Exception, match="style") as caught:
        Concept("dog", kind="animal")
    assert "animal" in str(caught.value)


def test_every_template_by_default_is_a_good_one():
    for templates in TEMPLATES.values():
        assert len(Concept("dog", templates=templates).prompts) == len(templates)


def test_a_concept_is_a_value():
    assert Concept("dog") == Concept("dog")
    assert len({Concept("dog"), Concept("dog"), Concept("cat")}) == 2
