"""What methods share: the defaults that go by a model's size."""

from __future__ import annotations

from typing import Any

import pytest

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.core.plugins import METHODS, plugins
from turpentine.erase.common import Sized, as_concepts
from turpentine.erase.uce import UCE
from turpentine.models import Model
from turpentine.tasks.erasure_cases import concepts_of

CLASSES = {each.load() for each in plugins(METHODS).values()}
SIZED = sorted((each for each in CLASSES if issubclass(each, Sized)), key=lambda each: each.__name__)


@pytest.mark.parametrize("method", SIZED, ids=lambda method: method.__name__)
def test_a_preset_goes_by_the_size_of_the_model(method: type[Sized], sd1: Model) -> None:
    assert method.small_world
    assert method.preset("emoji") == method.preset(sd1) == method(**method.small_world)
    assert method.preset("CompVis/stable-diffusion-v1-4") == method()
    first = next(iter(method.small_world))
    published = getattr(method(), first)
    assert getattr(method.preset("emoji", **{first: published}), first) == published
    assert type(method.preset(sd1)) is method


def test_every_method_that_edits_weights_has_one() -> None:
    assert {each.__name__ for each in CLASSES if not issubclass(each, Sized)} == {
        "SLD",
        "NegativePrompt",
        "PromptFilter",
    }


@pytest.mark.parametrize("concepts", [["church", "Church"], [Concept("dog"), "dog"]])
def test_a_concept_that_is_there_twice_is_refused(concepts: Any) -> None:
    with pytest.raises(BadArgument, match="is there twice: leave one out"):
        concepts_of(concepts)


def test_a_text_is_the_concept_that_it_names(sd1: Model) -> None:
    assert as_concepts("church") == as_concepts(Concept("church")) == (Concept("church"),)
    assert [(one.text, one.kind) for one in as_concepts(["church", "Van Gogh"], sd1)] == [
        ("church", "object"),
        ("Van Gogh", "artist"),
    ]
    assert UCE.preset(sd1)(sd1, "church") == UCE.preset(sd1)(sd1, Concept("church"))
    with pytest.raises(EmptyConcept):
        as_concepts("")
