"""Held-out prompts name the concept, and no method is fitted on one."""

from __future__ import annotations

import pytest

from turpentine.audit.held_out import PARAPHRASES, beside_prompts, held_out_prompts, implied_prompts
from turpentine.concepts import TEMPLATES, Concept
from turpentine.emoji.lexicon import look_up
from turpentine.emoji.prompts import caption_pairs
from turpentine.tasks.erasure_cases import erasure_cases, named_concept


@pytest.mark.parametrize("text", ["church", "dog", "ink style", "red background", "Van Gogh", "tower bridge"])
def test_they_name_it_are_all_different_and_are_in_no_training(text: str) -> None:
    concept = named_concept(text)
    prompts = held_out_prompts(concept, 40)
    assert 6 <= len(prompts) <= 40 and len(set(prompts)) == len(prompts)
    assert all(concept.text.split()[0] in prompt for prompt in prompts)
    fitted = {pair.caption for pair in caption_pairs(concept.kind, concept.text.split()[0], implied=True)}
    fitted |= {case.prompt for case in erasure_cases(concept) if case.group == "erased"}
    assert not fitted & set(prompts)


def test_every_kind_has_paraphrases_with_one_place_for_the_name() -> None:
    assert set(PARAPHRASES) == set(TEMPLATES)
    assert all(text.count("{}") == 1 for texts in PARAPHRASES.values() for text in texts)


def test_scenes_imply_it_and_do_not_name_it() -> None:
    prompts = implied_prompts(Concept("church"))
    assert prompts and not any("church" in prompt for prompt in prompts)
    assert implied_prompts(Concept("Van Gogh", "artist")) == ()


@pytest.mark.parametrize("text", ["church", "castle", "ink style", "red background", "lumen", "sunday prayer"])
def test_other_ways_to_show_it_are_no_training_s_and_what_does_not_name_it_does_not(text: str) -> None:
    concept = named_concept(text)
    groups = beside_prompts(concept)
    assert groups["own prompts"] == concept.prompts and groups["what it is a kind of"] == ("a picture",)
    fitted = {pair.caption for pair in caption_pairs(*look_up(text), implied=True)}
    assert not fitted & set(groups.get("with another object", ()))
    for prompt in (*groups.get("implied", ()), *groups.get("works that show it", ())):
        assert text.split()[0] not in prompt.split()
    for prompt in (*groups.get("with another object", ()), *groups.get("kinds of it", ())):
        assert concept.kind == "artist" or text.split()[0] in prompt.split()
    assert ("works that show it" in groups) == (text == "castle")


def test_of_other_models_a_concept_has_templates_and_a_word_that_is_wider() -> None:
    groups = beside_prompts(Concept("Van Gogh", "artist"), is_world=False)
    assert groups["what it is a kind of"] == ("a painting",) and len(groups) == 4
    assert all("Van Gogh" in prompt for prompt in (*groups["with another object"], *groups["kinds of it"]))
