"""`model.to`: the numbers are those of a model loaded so, and edits and identity go with it."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_sd1, tiny_sdxl

import turpentine as tp
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.erase.guidance import NegativePrompt
from turpentine.erase.uce import UCE
from turpentine.models import Model
from turpentine.models.identity import describe
from turpentine.models.placement import placement
from turpentine.testing.state import weights_hash


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ((torch.float16,), {}),
        (("cpu", torch.float16), {}),
        ((torch.float16, "cpu"), {}),
        (("float16",), {}),
        ((), {"dtype": torch.float16}),
        ((), {"dtype": "torch.float16", "device": torch.device("cpu")}),
    ],
)
def test_the_ways_in_which_diffusers_is_called(where: tuple, named: dict) -> None:
    model = Model(tiny_sd1())
    assert model.to(*where, **named) is model
    assert model.dtype == torch.float16 and model.device.type == "cpu"


def test_a_model_is_as_if_loaded_in_that_format() -> None:
    moved, loaded = Model(tiny_sd1()).to(torch.float16), Model(tiny_sd1().to(torch.float16))
    assert describe(moved) == describe(loaded)
    assert moved.generate("a dog", steps=1)[0] == loaded.generate("a dog", steps=1)[0]
    sdxl = Model(tiny_sdxl()).to(torch.float16)
    assert {sdxl.components[name].dtype for name in sdxl.family.full_precision()} <= {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_edits_stay_on_and_come_off_exactly(dtype: torch.dtype) -> None:
    model, plain = Model(tiny_sd1()), Model(tiny_sd1()).to(dtype)
    edits = [UCE()(model, Concept("church")), 0.5 * UCE()(model, Concept("dog"))]
    guidance = NegativePrompt()(model, Concept("dog"))
    for change in (*edits, guidance):
        change.apply(model)
    model.to(dtype)
    assert model.changes == (*edits, guidance) and model.dtype == dtype
    for edit in edits:
        edit.apply(plain)
    name = edits[0].names[0]
    assert torch.equal(model.parameter(name), plain.parameter(name))
    model.unload()
    plain.unload()
    assert model.changes == ()
    assert torch.equal(model.parameter(name), plain.parameter(name))


def test_a_model_that_was_rounded_is_another_one() -> None:
    """Digits that are lost do not come back, so that nothing computed before is read for it."""
    for dtype in (torch.float16, torch.bfloat16):
        model = Model(tiny_sd1())
        before, base = describe(model), model.fingerprint
        edit = UCE()(model, Concept("church"))
        model.to(dtype)
        assert describe(model) != before
        model.to(torch.float32)
        assert describe(model) != before and model.fingerprint == base
        with edit.on(model):
            assert edit in model.changes
    assert describe(Model(tiny_sd1()).to(torch.float32)) == before, "nothing was lost"


def test_what_cannot_be_is_refused_and_changes_nothing(sd1: Model) -> None:
    weights = weights_hash(sd1)
    for where in (("nowhere",), (torch.int8,), ("int8",), ("cpu", "cpu"), (torch.float16, torch.float32), (3.5,)):
        with pytest.raises(BadArgument):
            sd1.to(*where)
    assert weights_hash(sd1) == weights
    assert placement((), None, None) == (None, None)


def test_from_pretrained_is_load() -> None:
    model = Model.from_pretrained("emoji", device="cpu", dtype=torch.float32)
    assert isinstance(model, Model) and repr(model) == "Model('emoji', cpu, float32)"
    assert model.fingerprint == tp.load("emoji", device="cpu", dtype=torch.float32).fingerprint
    pipeline = tiny_sd1()
    assert Model.from_pretrained(pipeline, torch_dtype=torch.float16).dtype == torch.float16  # as in diffusers
    with pytest.raises(BadArgument, match="are one and the same"):
        Model.from_pretrained(pipeline, torch_dtype=torch.float16, dtype="float16")


def test_repr_shows_what_is_on() -> None:
    model = Model(tiny_sd1(), "tiny")
    edit, guidance = UCE()(model, Concept("church")), NegativePrompt()(model, Concept("dog"))
    with edit.on(model), (0.5 * guidance).on(model):
        on = "UCE (2025) of church, NegativePrompt of dog × 0.50"
        assert repr(model) == f"Model('tiny', cpu, float32; on it: {on})"
    assert repr(model) == "Model('tiny', cpu, float32)"
