"""Edits as summands: what they do together is what they do on top of each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from turpentine.concepts import Concept
from turpentine.core.errors import EditError, NotFinite, WrongBase
from turpentine.edits import Edit, Provenance, Zeroed, guidances_of, load_change, stack_of
from turpentine.erase.guidance import NegativePrompt
from turpentine.erase.uce import UCE
from turpentine.models import Model
from turpentine.testing.state import weights_hash

BIAS, WEIGHT = "unet.conv_in.bias", "unet.conv_in.weight"


def like(model: Model, name: str, seed: int) -> torch.Tensor:
    return torch.randn(model.parameter(name).shape, generator=torch.Generator().manual_seed(seed))


def delta(model: Model, *names: str, seed: int = 0, text: str = "church") -> Edit:
    provenance = Provenance(concepts=(Concept(text),), base=model.fingerprint, model=model.name)
    return Edit({name: like(model, name, seed) for name in names}, provenance)


def zeros(model: Model, name: str, *positions: int) -> Edit:
    at = Zeroed(tuple(model.parameter(name).shape), torch.tensor(positions))
    return Edit(provenance=Provenance(base=model.fingerprint), zeroed={name: at})


def stacked(model: Model, *edits: Edit) -> dict[str, torch.Tensor]:
    for edit in edits:
        edit.apply(model)
    try:
        return {name: model.parameter(name).detach().clone() for name in (BIAS, WEIGHT)}
    finally:
        for edit in edits:
            edit.remove(model)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


@given(strengths=st.lists(st.floats(-4, 4), min_size=1, max_size=4))
def test_a_sum_does_what_the_summands_do_on_top_of_each_other(sd1: Model, strengths: list[float]) -> None:
    names = ((BIAS,), (BIAS, WEIGHT), (WEIGHT,), (BIAS,))
    edits = [delta(sd1, *names[n], seed=n, text=f"dog {n}") * strength for n, strength in enumerate(strengths)]
    whole = sum(edits[1:], edits[0])
    assert same(stacked(sd1, whole), stacked(sd1, *edits))
    assert set(whole.names) == {name for edit in edits for name in edit.names}
    assert whole.provenance.concepts == tuple(edit.provenance.concepts[0] for edit in edits)


def test_zeroed_weights_stay_zero_and_override_what_is_below(sd1: Model) -> None:
    below, zeroed, beside = delta(sd1, BIAS), zeros(sd1, BIAS, 0, 2), zeros(sd1, BIAS, 2, 3)
    whole = below + zeroed + beside
    weights = stacked(sd1, whole)
    assert same(weights, stacked(sd1, below, zeroed, beside))
    assert weights[BIAS][[0, 2, 3]].tolist() == [0, 0, 0]


def test_what_only_a_stack_can_do_is_refused_by_name(sd1: Model) -> None:
    with pytest.raises(EditError, match="only in full"):
        delta(sd1, BIAS) + 0.5 * zeros(sd1, BIAS, 0)
    with pytest.raises(EditError, match=f"changes weights of {BIAS} that an edit before it zeroes"):
        zeros(sd1, BIAS, 0) + delta(sd1, BIAS)
    assert (zeros(sd1, BIAS, 0) + delta(sd1, WEIGHT)).names == (WEIGHT, BIAS), "another weight is no matter"
    assert same(stacked(sd1, delta(sd1, BIAS) + 0 * zeros(sd1, BIAS, 0)), stacked(sd1, delta(sd1, BIAS)))


def test_edits_of_two_models_and_none_are_no_sum(sd1: Model, sd2: Model) -> None:
    with pytest.raises(WrongBase, match="merge edits of one model"):
        delta(sd1, BIAS) + delta(sd2, BIAS)
    with pytest.raises(WrongBase, match="two shapes"):
        Edit({BIAS: torch.ones(3)}) + Edit({BIAS: torch.ones(4)})
    with pytest.raises(EditError, match="no edit to merge"):
        Edit.merge([])
    one = delta(sd1, BIAS)
    assert Edit.merge([one]) is one and sum([one]) is one
    with pytest.raises(TypeError):
        one + 3
    with pytest.raises(TypeError):
        one + NegativePrompt()(sd1, Concept("church"))


def test_several_edits_are_one_file_that_says_what_is_in_it(sd1: Model, tmp_path: Path) -> None:
    one, other = UCE()(sd1, Concept("church")), UCE()(sd1, Concept("dog"))
    both = one + 0.5 * other
    both.save(tmp_path / "both.safetensors")
    again = load_change(tmp_path / "both.safetensors")
    assert again == both and again.provenance == both.provenance
    assert again.provenance.settings["edits"] == (one.id, (0.5 * other).id)
    assert again.provenance.settings["titles"] == ("UCE (2025) of church", "UCE (2025) of dog × 0.50")
    assert again.provenance.base == sd1.fingerprint


def test_scaling_by_operators(sd1: Model) -> None:
    for change in (delta(sd1, BIAS), NegativePrompt()(sd1, Concept("church"))):
        assert 0.5 * change == change * 0.5 == change / 2 == change.scaled(0.5)
        assert -change == change.scaled(-1) and +change is change
        assert (-change).strength == -1
        for wrong in ("2", None, True, change):
            with pytest.raises(TypeError):
                change * wrong
        with pytest.raises(EditError, match="divided by 0"):
            change / 0
        with pytest.raises(NotFinite):
            change * float("nan")
    assert same(stacked(sd1, delta(sd1, BIAS) - delta(sd1, BIAS)), stacked(sd1))


def test_unload_takes_a_change_off_wherever_it_is(sd1: Model) -> None:
    weights = weights_hash(sd1)
    for change in (delta(sd1, BIAS), NegativePrompt()(sd1, Concept("church"))):
        change.unload(sd1)  # it is not on
        change.apply(sd1)
        change.unload()
        assert sd1.changes == ()
        change.apply(sd1)
        change.unload(sd1)
        assert sd1.changes == ()
        with change.on(sd1):
            change.unload()
        assert sd1.changes == ()
    assert weights_hash(sd1) == weights and not len(stack_of(sd1)) and not guidances_of(sd1)


def test_a_title_says_what_a_change_is(sd1: Model) -> None:
    assert delta(sd1, BIAS).title == "by hand of church"
    assert (-0.25 * delta(sd1, BIAS)).title == "by hand of church × −0.25"
