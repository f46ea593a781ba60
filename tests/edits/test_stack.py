"""Several edits on one model."""

from __future__ import annotations

import pytest
import torch
from edits.weights import NAMES, made_up, weights_hash
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_sd1

from turpentine.concepts import Concept
from turpentine.core.errors import EditError, NotFinite
from turpentine.edits import Edit, stack_of
from turpentine.erase.cad import CAD
from turpentine.erase.uce import UCE
from turpentine.models import Model

NAME = NAMES[0]
MODEL = Model(tiny_sd1())
START = weights_hash(MODEL)
EDITS = [made_up(MODEL, seed=seed, names=names) for seed, names in enumerate([NAMES, NAMES[:1], NAMES[:2], NAMES[1:]])]
BASE = {name: MODEL.parameter(name).detach().clone() for name in NAMES}


def test_the_order_is_recorded_and_summed_in() -> None:
    first, second = EDITS[0].scaled(3.0), EDITS[1]
    with second.on(MODEL), first.on(MODEL):
        assert list(stack_of(MODEL)) == [second, first]
        assert stack_of(MODEL).ids == (second.id, first.id)
        assert stack_of(MODEL) is MODEL.edits
        total = (BASE[NAME] + second.deltas[NAME]).add(first.deltas[NAME], alpha=3.0)
        assert torch.equal(MODEL.parameter(NAME), total)
    assert weights_hash(MODEL) == START


def test_ten_styles_then_an_object_then_the_first_at_half_strength() -> None:
    words = ("ink", "flat", "red", "blue", "green", "car", "house", "saw", "fish", "cat")
    styles = [Concept(word, "style") for word in words]
    uce = UCE(templates=("{}",))(MODEL, styles).apply(MODEL)
    cad = CAD(sites="cross-attention", share=0.05, sampling_steps=2)(MODEL, Concept("church")).apply(MODEL)
    name = next(name for name in cad.names if name in uce.names)
    base = stack_of(MODEL)._base[name].clone()
    half = stack_of(MODEL).rescale(uce, 0.5)
    assert list(stack_of(MODEL)) == [half, cad]
    assert half.strength == 0.5
    kept = ~cad.zeroed[name].mask()
    assert torch.equal(MODEL.parameter(name), (base + 0.5 * uce.deltas[name]) * kept)
    assert not kept.all()
    cad.remove(MODEL)
    half.remove(MODEL)
    assert weights_hash(MODEL) == START


def test_what_cannot_be_rescaled_is_left_as_it_was() -> None:
    first, second = (Edit({NAME: torch.full_like(BASE[NAME], 1e3)}).scaled(strength) for strength in (1.0, 2.0))
    with first.on(MODEL), second.on(MODEL):
        before = weights_hash(MODEL)
        with pytest.raises(EditError, match="already"):
            stack_of(MODEL).rescale(first, 2.0)
        with pytest.raises(EditError, match="is not on this model"):
            stack_of(MODEL).rescale(EDITS[1], 2.0)
        with pytest.raises(NotFinite, match="does not fit"):
            stack_of(MODEL).rescale(first, 1e37)
        assert list(stack_of(MODEL)) == [first, second]
        assert weights_hash(MODEL) == before
        assert stack_of(MODEL).rescale(first, 1.0) == first
    assert weights_hash(MODEL) == START


def test_the_base_is_forgotten_when_no_edit_needs_it() -> None:
    with EDITS[0].on(MODEL):
        assert set(stack_of(MODEL)._base) == set(NAMES)
        with EDITS[3].on(MODEL):
            EDITS[0].remove(MODEL)
            assert set(stack_of(MODEL)._base) == set(NAMES[1:])
            EDITS[0].apply(MODEL)
    assert not stack_of(MODEL)._base


def test_the_fingerprint_is_the_bases_also_while_edits_are_on() -> None:
    model = Model(tiny_sd1())
    with made_up(model, base=False).on(model):  # an edit that does not ask for it
        assert model.fingerprint == MODEL.fingerprint


@settings(max_examples=20)
@given(st.lists(st.integers(0, len(EDITS) - 1), max_size=10))
def test_any_order_of_putting_on_and_taking_off_is_exact(toggles: list[int]) -> None:
    on: list[int] = []
    for index in toggles:
        if index in on:
            EDITS[index].remove(MODEL)
            on.remove(index)
        else:
            EDITS[index].apply(MODEL)
            on.append(index)
        for name in NAMES:
            expected = sum((EDITS[i].deltas[name] for i in on if name in EDITS[i].deltas), BASE[name])
            assert torch.equal(MODEL.parameter(name), expected)
    for index in on:
        EDITS[index].remove(MODEL)
    assert weights_hash(MODEL) == START
