"""Held-out prompts name the concept, and no method is fitted on one."""

from __future__ import annotations

import pytest

from turpentine.audit.held_out import PARAPHRASES, held_out_prompts, implied_prompts, other_cases
from turpentine.concepts import TEMPLATES, Concept
from turpentine.emoji.prompts import caption_pairs
from turpentine.tasks.erasure_cases import erasure_cases, named_concept
from turpentine.tasks.groups import is_preserved
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import toy


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


def test_other_things_are_those_that_the_judge_can_see_and_none_is_the_concept() -> None:
    cases = other_cases(toy("sd1"), Concept("church"), CoinJudge(), 24)
    assert cases and {case.expected for case in cases} == {"dog"} and all(is_preserved(case.group) for case in cases)
    assert not any("church" in case.prompt for case in cases)


def test_scenes_imply_it_and_do_not_name_it() -> None:
    prompts = implied_prompts(Concept("church"))
    assert prompts and not any("church" in prompt for prompt in prompts)
    assert implied_prompts(Concept("Van Gogh", "artist")) == ()
