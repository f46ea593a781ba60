"""The measured best: every kind has one, every method says when to use it."""

from __future__ import annotations

from typing import get_args

import pytest

from turpentine.bench import Erasure, run_erasure
from turpentine.concepts import Concept, Kind
from turpentine.core.plugins import METHODS, find, plugins
from turpentine.erase.best import AMPLIFIER, ERASERS, WHEN, best_for
from turpentine.models import Model


def test_every_kind_of_concept_has_a_best_method_with_its_reason() -> None:
    for by_kind in ERASERS.values():
        assert by_kind.keys() == set(get_args(Kind))
        for best in by_kind.values():
            assert find(best.name, "erase").name == best.name
            assert any(digit.isdigit() for digit in best.reason)
    assert find(AMPLIFIER.name, "amplify").name == AMPLIFIER.name


def test_every_method_of_ours_says_when_to_use_it_and_no_other_does() -> None:
    ours = {name for name, each in plugins(METHODS).items() if each.target.startswith("turpentine.")}
    assert WHEN.keys() == ours


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_choice_goes_by_the_models_size_and_the_concepts_kind(kind: Kind, sd1: Model) -> None:
    concept = Concept("church", kind)
    assert best_for(sd1, [concept]) is best_for("emoji", [concept]) is ERASERS["small"][kind]
    assert best_for("CompVis/stable-diffusion-v1-4", [concept]) is ERASERS["full"][kind]
    assert best_for(sd1, [concept], "amplify") is AMPLIFIER


def test_an_erasure_without_a_method_takes_it(sd1: Model, tmp_path) -> None:
    from bench.stubs import CASES, QUICK, StubJudge

    concept = Concept("church")
    result = run_erasure(sd1, Erasure(concept, None, QUICK, StubJudge(), CASES), tmp_path)
    method = best_for(sd1, [concept]).method(sd1)
    assert result.edit.id == method(sd1, concept).id


def test_a_style_goes_with_a_setting_of_its_own(sd1: Model) -> None:
    for_style, for_object = (best_for(sd1, [Concept("ink", kind)]).method(sd1) for kind in ("style", "object"))
    assert (for_style.eta, for_object.eta) == (0.0, find("uce-aligned").defaults(sd1).eta)
    assert for_object.eta > 0
