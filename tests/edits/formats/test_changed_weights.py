"""The changed weights in full, as the authors' notebooks load them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from edits.weights import made_up
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from tiny import tiny_sd1

from turpentine.core.errors import EditError
from turpentine.edits import Edit, Zeroed, import_edit, save_changed_weights
from turpentine.edits.formats.foreign import _exact
from turpentine.models import Model

KEYS = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
BIAS = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.bias"


def _edit(model: Model) -> Edit:
    """Changes of every size, from far under the weights to far over them, and zeroed positions."""
    generator = torch.Generator().manual_seed(5)
    deltas = {
        name: torch.randn(delta.shape, generator=generator)
        * 10 ** (8 * torch.rand(delta.shape, generator=generator) - 6)
        for name, delta in made_up(model).deltas.items()
    }
    zeroed = {"unet.conv_out.weight": Zeroed(tuple(model.parameter("unet.conv_out.weight").shape), torch.arange(7))}
    return Edit(deltas, zeroed=zeroed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_notebooks_way_of_loading_gives_the_edited_denoiser_bit_by_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    model, other = Model(tiny_sd1().to(dtype=dtype)), tiny_sd1().to(dtype=dtype)
    with _edit(model).on(model):
        save_changed_weights(model, tmp_path / "esd.safetensors")
        expected = {name: weight.clone() for name, weight in model.denoiser.state_dict().items()}
    file = load_file(tmp_path / "esd.safetensors")
    assert {KEYS.removeprefix("unet."), BIAS.removeprefix("unet.")} < set(file)
    assert len(file) == 4
    assert other.unet.load_state_dict(file, strict=False).unexpected_keys == []
    assert all(torch.equal(weight, expected[name]) for name, weight in other.unet.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_we_read_back_is_the_edited_model_bit_by_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    model = Model(tiny_sd1().to(dtype=dtype))
    edit = _edit(model)
    with edit.on(model):
        save_changed_weights(model, tmp_path / "esd.safetensors")
        expected = {name: model.parameter(name).clone() for name in edit.names}
    with import_edit(tmp_path / "esd.safetensors", model).on(model):
        assert all(torch.equal(model.parameter(name), weight) for name, weight in expected.items())


def test_several_edits_are_one_file_which_names_them(sd1: Model, tmp_path: Path) -> None:
    edits = made_up(sd1, names=(KEYS,)), made_up(sd1, seed=1, names=(KEYS, BIAS))
    with edits[0].on(sd1), edits[1].on(sd1):
        save_changed_weights(sd1, tmp_path / "both.safetensors")
        expected = sd1.parameter(KEYS).clone()
    with safe_open(tmp_path / "both.safetensors", framework="pt") as file:
        record = json.loads(file.metadata()["turpentine.weights"])
        assert [edit["id"] for edit in record["edits"]] == [edit.id for edit in edits]
        assert torch.equal(file.get_tensor(KEYS.removeprefix("unet.")), expected)
        assert len(file.keys()) == 2


numbers = st.floats(-1e4, 1e4, width=32)


@given(numbers, numbers)
def test_a_difference_leads_back_to_any_weight_that_some_difference_leads_to(base: float, delta: float) -> None:
    start = torch.tensor([base])
    weight = start + torch.tensor([delta])
    assert torch.equal(start + _exact(weight, start), weight)


def test_a_difference_that_rounds_away_from_its_weight() -> None:
    weight, base = torch.tensor([2.0]), torch.tensor([-1 - 2**-23])
    assert not torch.equal(base + (weight - base), weight)
    assert torch.equal(base + _exact(weight, base), weight)


def test_what_no_denoiser_has_and_what_is_not_there_are_refused(sd1: Model, tmp_path: Path) -> None:
    path = tmp_path / "esd.safetensors"
    with pytest.raises(EditError, match="No edit is on"):
        save_changed_weights(sd1, path)
    text = f"text_encoder.{next(name for name, _ in sd1.components['text_encoder'].named_parameters())}"
    with made_up(sd1, names=(KEYS, text)).on(sd1), pytest.raises(EditError, match=r"text_encoder.* no denoiser has"):
        save_changed_weights(sd1, path)
    assert not path.exists()
    path.write_text("mine")
    with made_up(sd1).on(sd1), pytest.raises(EditError, match="exists already"):
        save_changed_weights(sd1, path)
