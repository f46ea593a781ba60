"""Edits as values: put on, taken off, scaled, compared."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from edits.weights import NAMES, made_up, weights_hash
from tiny import tiny_sd1

from turpentine.core.errors import BadArgument, EditError, NotFinite, WrongBase
from turpentine.core.model_argument import check_is_model
from turpentine.edits import Edit, Provenance, stack_of
from turpentine.edits.operators import check_factor
from turpentine.models import Model


def test_apply_adds_the_delta_and_remove_restores_every_bit(sd1: Model) -> None:
    before, edit = weights_hash(sd1), made_up(sd1)
    expected = sd1.parameter(NAMES[0]).detach() + edit.deltas[NAMES[0]]
    assert edit.apply(sd1) is edit
    assert torch.equal(sd1.parameter(NAMES[0]), expected)
    assert weights_hash(sd1) != before
    edit.remove(sd1)
    assert weights_hash(sd1) == before


def test_the_strength_multiplies_the_delta(sd1: Model) -> None:
    edit = made_up(sd1)
    expected = torch.add(sd1.parameter(NAMES[0]).detach(), edit.deltas[NAMES[0]], alpha=-0.5)
    with edit.scaled(2.0).scaled(-0.25).on(sd1):
        assert torch.equal(sd1.parameter(NAMES[0]), expected)


def test_at_strength_zero_every_bit_stays(sd1: Model) -> None:
    name = "unet.conv_out.bias"
    original = sd1.parameter(name).data
    sd1.parameter(name).data = torch.tensor([-0.0, 0.0, 1e-45, -1.0])  # -0 + 0·ΔW would be +0
    try:
        before = weights_hash(sd1)
        edit = made_up(sd1, names=(name,), base=False).scaled(0.0)
        with edit.on(sd1):
            assert weights_hash(sd1) == before
        assert weights_hash(sd1) == before
    finally:
        sd1.parameter(name).data = original


def test_an_error_inside_the_block_takes_the_edit_off(sd1: Model) -> None:
    before, edit = weights_hash(sd1), made_up(sd1)
    with pytest.raises(KeyError, match="inside"), edit.on(sd1):
        raise KeyError("inside")
    assert weights_hash(sd1) == before
    assert len(stack_of(sd1)) == 0


def test_an_edit_taken_off_inside_the_block_is_not_taken_off_again(sd1: Model) -> None:
    before, edit = weights_hash(sd1), made_up(sd1)
    with edit.on(sd1):
        edit.remove(sd1)
    assert weights_hash(sd1) == before


def test_an_edit_goes_on_once_and_comes_off_once(sd1: Model) -> None:
    edit = made_up(sd1)
    with edit.on(sd1), pytest.raises(EditError, match="is on this model already"):
        made_up(sd1).apply(sd1)
    with pytest.raises(EditError, match="is not on this model"):
        edit.remove(sd1)


def test_another_base_is_refused_and_left_alone(sd1: Model, sd2: Model) -> None:
    before = weights_hash(sd2)
    with pytest.raises(WrongBase, match="was made for StableDiffusionPipeline"):
        made_up(sd1).apply(sd2)
    assert weights_hash(sd2) == before
    assert len(stack_of(sd2)) == 0


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [("unet.nothing.weight", (2,), "unet.nothing.weight"), (NAMES[1], (3, 3), r"\(3, 3\)")],
)
def test_tensors_that_do_not_fit_are_named(sd1: Model, name: str, shape: tuple[int, ...], says: str) -> None:
    before = weights_hash(sd1)
    with pytest.raises(WrongBase, match=says):
        Edit({NAMES[0]: torch.zeros_like(sd1.parameter(NAMES[0])), name: torch.zeros(shape)}).apply(sd1)
    assert weights_hash(sd1) == before


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_no_delta_and_no_strength_may_be_other_than_finite(bad: float) -> None:
    with pytest.raises(NotFinite, match=r"unet\.a\.weight"):
        Edit({"unet.a.weight": torch.tensor([0.0, bad])})
    with pytest.raises(NotFinite, match="strength"):
        Edit({"unet.a.weight": torch.ones(2)}, strength=bad)
    with pytest.raises(EditError, match="at least one tensor"):
        Edit({})


def test_what_is_no_model_no_number_and_no_file_is_said_to_be_none(tmp_path: Path) -> None:
    edit = Edit({"unet.a.weight": torch.ones(2)})
    for odd in (None, 3, ["emoji"]):
        with pytest.raises(BadArgument, match="is no model: give one that turpentine"):
            check_is_model(odd)
    for wrong in ("2", None):
        with pytest.raises(BadArgument, match=f"scaled by a number, such as 0.5, and not by {wrong!r}"):
            check_factor(wrong)
    assert edit.scaled(2).scaled(0.25).strength == 0.5
    with pytest.raises(IsADirectoryError, match="a folder in the place of the edit's file"):
        edit.save(tmp_path)
    assert not list(tmp_path.iterdir())
    edit.save(tmp_path / "edit.safetensors")
    with pytest.raises(EditError, match=r"is a folder: give the file of the edit, such as .*edit\.safetensors\."):
        Edit.load(tmp_path)


def test_the_id_is_of_tensors_strength_and_base(sd1: Model) -> None:
    edit = made_up(sd1)
    assert edit == made_up(sd1)
    assert edit == edit.scaled(2.0).scaled(0.5)
    others = [edit.scaled(0.5), made_up(sd1, seed=1), made_up(sd1, base=False), made_up(sd1, names=NAMES[:2])]
    assert len({edit, *others}) == 5
    assert edit == Edit(edit.deltas, Provenance(method="other", base=sd1.fingerprint))


def test_deltas_are_fp32_on_the_cpu_and_edits_travel(sd1: Model) -> None:
    edit = Edit({NAMES[1]: torch.full((32,), 0.5, dtype=torch.bfloat16)})
    assert edit.deltas[NAMES[1]].dtype == torch.float32
    assert pickle.loads(pickle.dumps(edit)) == copy.deepcopy(edit) == edit
    assert "by hand of no concept, strength 1: 1 tensors, 32 weights" in repr(edit)


def test_on_an_fp16_model_the_sum_is_rounded_once() -> None:
    model = Model(tiny_sd1().to(dtype=torch.float16))
    before, edit = weights_hash(model), made_up(model)
    base = model.parameter(NAMES[0]).detach().clone()
    with edit.on(model), made_up(model, seed=1).on(model):
        total = base.float() + edit.deltas[NAMES[0]] + made_up(model, seed=1).deltas[NAMES[0]]
        assert torch.equal(model.parameter(NAMES[0]), total.half())
    assert weights_hash(model) == before


def test_an_edit_made_in_fp32_fits_the_same_model_in_fp16() -> None:
    model, half = Model(tiny_sd1()), Model(tiny_sd1().to(dtype=torch.float16))
    assert weights_hash(model) != weights_hash(half)
    with made_up(model).on(half):
        assert len(stack_of(half)) == 1


def test_a_weight_that_overflows_leaves_the_model_as_it_was() -> None:
    model = Model(tiny_sd1().to(dtype=torch.float16))
    before = weights_hash(model)
    deltas = {name: torch.full(model.parameter(name).shape, 0.5) for name in NAMES}
    deltas[NAMES[2]] = torch.full(model.parameter(NAMES[2]).shape, 1e6)
    with pytest.raises(NotFinite, match=r"unet\.conv_in\.weight"):
        Edit(deltas).apply(model)
    assert weights_hash(model) == before
    assert len(stack_of(model)) == 0
