"""Zeroed positions: kept exactly and small, put on, taken off, scaled and stacked."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from edits.weights import NAMES, made_up, weights_hash
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_sd1

from turpentine.core.errors import EditError, NotFinite, WrongBase
from turpentine.core.sealed import write_sealed
from turpentine.edits import Edit, Provenance, Zeroed
from turpentine.models import Model


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


NAME = NAMES[0]


def pruned(model: Model, share: float = 0.1, seed: int = 0, names: tuple[str, ...] = NAMES, **more: object) -> Edit:
    """A random share of some weights, zeroed."""
    generator = torch.Generator().manual_seed(seed)
    masks = {name: torch.rand(model.parameter(name).shape, generator=generator) < share for name in names}
    zeroed = {name: Zeroed.from_mask(mask) for name, mask in masks.items() if mask.any()}
    return Edit(provenance=Provenance(base=model.fingerprint, model=model.name), zeroed=zeroed, **more)


# Positions


@given(st.sets(st.integers(0, 2**40), min_size=1, max_size=40))
def test_any_positions_come_back_from_their_bytes(positions: set[int]) -> None:
    zeroed = Zeroed((2**20, 2**20 + 1), torch.tensor(sorted(positions)))
    assert Zeroed.unpack(zeroed.pack(), zeroed.shape).positions.tolist() == sorted(positions)


def test_the_bytes_are_leb128_of_the_distances() -> None:
    zeroed = Zeroed((1000, 1000), torch.tensor([5, 5 + 127, 5 + 127 + 128, 5 + 127 + 128 + 300 * 128]))
    # 300·128 = 38400 = 2·2¹⁴ + 44·2⁷ + 0
    assert zeroed.pack().tolist() == [5, 127, 0x80, 1, 0x80, 0x80 | 44, 2]


def test_a_thousandth_takes_under_two_bytes_each() -> None:
    mask = torch.rand(2560, 320, generator=torch.Generator().manual_seed(0)) < 0.001
    zeroed = Zeroed.from_mask(mask)
    assert len(zeroed.pack()) <= 2 * len(zeroed)
    assert torch.equal(zeroed.mask(), mask)


@pytest.mark.parametrize("positions", [[], [3, 3], [4, 2], [-1, 2], [0, 6]])
def test_positions_must_ascend_inside_the_weight(positions: list[int]) -> None:
    with pytest.raises(EditError):
        Zeroed((2, 3), torch.tensor(positions, dtype=torch.int64))


@given(st.binary(max_size=12))
def test_bytes_of_another_kind_are_refused_or_are_positions(data: bytes) -> None:
    try:
        zeroed = Zeroed.unpack(torch.tensor(list(data), dtype=torch.uint8), (64, 64))
    except EditError:
        return
    assert 0 <= zeroed.positions[0] <= zeroed.positions[-1] < 64 * 64


# On a model


def test_the_weights_are_zero_there_and_as_they_were_elsewhere_and_come_back(sd1: Model) -> None:
    before, edit = weights_hash(sd1), pruned(sd1)
    start = {name: sd1.parameter(name).detach().clone() for name in NAMES}
    with edit.on(sd1):
        for name in NAMES:
            mask, now = edit.zeroed[name].mask(), sd1.parameter(name).detach()
            assert (now[mask] == 0).all()
            assert not torch.signbit(now[mask]).any()
            assert torch.equal(now[~mask], start[name][~mask])
    assert weights_hash(sd1) == before


@pytest.mark.parametrize("strength", [0.5, -1.0, 2.0])
def test_the_strength_leaves_one_minus_it_of_a_weight(sd1: Model, strength: float) -> None:
    edit = pruned(sd1)
    mask, start = edit.zeroed[NAME].mask(), sd1.parameter(NAME).detach().clone()
    with edit.scaled(strength).on(sd1):
        assert torch.equal(sd1.parameter(NAME).detach()[mask], (1 - strength) * start[mask])


def test_strength_zero_and_what_is_not_zeroed_keep_every_bit() -> None:
    model, name = Model(tiny_sd1(whole=True)), "unet.conv_out.bias"
    model.parameter(name).data = torch.tensor([-0.0, 0.0, 1e-45, -1.0])
    before = weights_hash(model)
    edit = Edit(zeroed={name: Zeroed((4,), torch.tensor([3]))})
    with edit.scaled(0.0).on(model):
        assert weights_hash(model) == before
    with edit.on(model):
        kept = model.parameter(name).detach()
        assert kept.view(torch.int32).tolist() == torch.tensor([-0.0, 0.0, 1e-45, 0.0]).view(torch.int32).tolist()
    assert weights_hash(model) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_pruned_exactly(dtype: torch.dtype) -> None:
    model = Model(tiny_sd1(whole=True).to(dtype=dtype))
    before, edit = weights_hash(model), pruned(model)
    start = model.parameter(NAME).detach().clone()
    with edit.on(model):
        assert torch.equal(model.parameter(NAME).detach(), start * ~edit.zeroed[NAME].mask())
    assert weights_hash(model) == before


# Stacked


def test_two_edits_may_zero_the_same_position(sd1: Model) -> None:
    before = weights_hash(sd1)
    one, two = pruned(sd1, 0.5, seed=1), pruned(sd1, 0.5, seed=2)
    start = sd1.parameter(NAME).detach().clone()
    with one.on(sd1), two.on(sd1):
        either = one.zeroed[NAME].mask() | two.zeroed[NAME].mask()
        assert torch.equal(sd1.parameter(NAME).detach(), start * ~either)
        one.remove(sd1)
        assert torch.equal(sd1.parameter(NAME).detach(), start * ~two.zeroed[NAME].mask())
    assert weights_hash(sd1) == before


def test_what_lies_below_is_zeroed_and_what_comes_later_is_added(sd1: Model) -> None:
    before = weights_hash(sd1)
    other, cut = made_up(sd1), pruned(sd1, 0.3)
    start, mask = sd1.parameter(NAME).detach().clone(), cut.zeroed[NAME].mask()
    with other.on(sd1), cut.on(sd1):
        assert torch.equal(sd1.parameter(NAME).detach(), (start + other.deltas[NAME]) * ~mask)
    with cut.on(sd1), other.scaled(0.5).on(sd1):
        assert torch.equal(sd1.parameter(NAME).detach(), (start * ~mask).add(other.deltas[NAME], alpha=0.5))
    assert weights_hash(sd1) == before


def test_one_edit_may_hold_both_and_the_zeros_outdo_the_delta(sd1: Model) -> None:
    delta, mask = torch.full(sd1.parameter(NAME).shape, 0.25), torch.zeros(sd1.parameter(NAME).shape, dtype=torch.bool)
    mask[0] = True
    edit = Edit({NAME: delta, NAMES[1]: torch.ones(32)}, zeroed={NAME: Zeroed.from_mask(mask)})
    start = sd1.parameter(NAME).detach().clone()
    assert edit.names == (NAME, NAMES[1])
    assert torch.equal(edit.delta(NAME, start), torch.where(mask, -start, delta))
    with edit.on(sd1):
        assert torch.equal(sd1.parameter(NAME).detach(), (start + delta) * ~mask)


def test_the_change_is_what_is_added(sd1: Model) -> None:
    edit, base = pruned(sd1), sd1.parameter(NAME).detach()
    change = edit.delta(NAME, base.half())
    assert change.dtype == torch.float32
    assert torch.equal(change, -base.half().float() * edit.zeroed[NAME].mask())
    assert edit.shape(NAME) == tuple(base.shape)
    assert edit.count(NAME) == len(edit.zeroed[NAME])
    assert torch.equal(made_up(sd1).delta(NAME, base), made_up(sd1).deltas[NAME])


def test_shapes_that_do_not_fit_are_named(sd1: Model) -> None:
    few = Zeroed((3, 3), torch.tensor([1]))
    with pytest.raises(WrongBase, match=r"\(3, 3\)"):
        Edit(zeroed={NAME: few}).apply(sd1)
    with pytest.raises(EditError, match="two shapes"):
        Edit({NAME: torch.ones(2)}, zeroed={NAME: few})
    with pytest.raises(EditError, match="at least one tensor"):
        Edit()
    with pytest.raises(NotFinite, match="strength"):
        Edit(zeroed={NAME: few}, strength=float("nan"))


# As a value, and in a file


def test_the_id_is_of_the_positions_too(sd1: Model) -> None:
    edit = pruned(sd1)
    assert edit == pruned(sd1) == pickle.loads(pickle.dumps(edit)) == copy.deepcopy(edit)
    reshaped = [Edit(zeroed={"a": Zeroed(shape, torch.tensor([1]))}) for shape in ((2, 3), (3, 2))]
    others = [pruned(sd1, seed=1), edit.scaled(0.5), pruned(sd1, names=NAMES[:2]), made_up(sd1), *reshaped]
    assert len({edit, *others}) == 7
    assert "weights, zeroed, id" in repr(edit)


def test_what_is_saved_is_loaded_in_kilobytes(sd1: Model, tmp_path: Path) -> None:
    edit = Edit({NAMES[1]: torch.full((32,), 0.5)}, Provenance(base=sd1.fingerprint), -0.5, pruned(sd1).zeroed)
    edit.save(tmp_path / "edit.safetensors")
    loaded = Edit.load(tmp_path / "edit.safetensors")
    assert loaded == edit
    assert loaded.zeroed.keys() == edit.zeroed.keys()
    assert all(torch.equal(loaded.zeroed[name].mask(), each.mask()) for name, each in edit.zeroed.items())
    wide = Edit(zeroed={NAME: Zeroed.from_mask(torch.arange(4000 * 1000).reshape(4000, 1000) % 1000 == 7)})
    wide.save(tmp_path / "wide.safetensors")
    assert (tmp_path / "wide.safetensors").stat().st_size < 2 * 4000 + 2000


def test_a_file_without_zeroed_positions_is_read_as_before(sd1: Model, tmp_path: Path) -> None:
    edit = made_up(sd1)
    record = {"strength": 1.0, "provenance": edit.provenance.to_json()}
    write_sealed(tmp_path / "old.safetensors", edit.deltas, record, "edit")
    assert Edit.load(tmp_path / "old.safetensors") == edit


@pytest.mark.parametrize("tensors", [{}, {f"zeroed/{NAME}": torch.tensor([7, 0x80], dtype=torch.uint8)}])
def test_a_file_whose_positions_make_no_sense_is_refused(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "edit.safetensors"
    record = {"strength": 1.0, "provenance": Provenance().to_json(), "zeroed": {NAME: [4, 4]}}
    write_sealed(path, tensors, record, "edit")
    with pytest.raises(EditError, match=rf"{path}.*{NAME}"):
        Edit.load(path)


def test_a_flipped_bit_among_the_positions_names_the_tensor(sd1: Model, tmp_path: Path) -> None:
    path, edit = tmp_path / "edit.safetensors", pruned(sd1)
    edit.save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(EditError, match="does not match its checksum"):
        Edit.load(path)
