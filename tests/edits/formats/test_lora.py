"""Edits as a LoRA, held against NumPy's SVD and against what diffusers makes of the file."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edits.weights import made_up, weights_hash
from safetensors.torch import load_file
from tiny import tiny_sd1, tiny_sd2_v, tiny_sdxl

from turpentine.core.errors import BadArgument, EditError, WrongBase
from turpentine.edits import Edit, LoRA, Zeroed
from turpentine.edits.formats.foreign import import_edit
from turpentine.models import Model


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


@pytest.fixture(scope="module")
def sd2(whole_sd2: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd2


BLOCK = "unet.mid_block.attentions.0.transformer_blocks.0"
LINEAR, WIDE = f"{BLOCK}.attn2.to_k.weight", f"{BLOCK}.ff.net.0.proj.weight"
CONV, SHORTCUT = "unet.mid_block.resnets.0.conv1.weight", "unet.up_blocks.0.resnets.0.conv_shortcut.weight"
BIAS = f"{BLOCK}.attn2.to_out.0.bias"


def _text(model: Model) -> str:
    return next(name for name in _names(model) if name.endswith("layers.1.self_attn.v_proj.weight"))


def _names(model: Model) -> list[str]:
    return [f"{part}.{name}" for part, network in model.components.items() for name, _ in network.named_parameters()]


def _last_singular_values(matrix: np.ndarray, rank: int) -> float:
    return math.sqrt(sum(value**2 for value in np.linalg.svd(matrix.astype(np.float64))[1][rank:]))


def test_each_layer_is_the_best_of_its_rank_and_the_loss_is_told(sd1: Model) -> None:
    edit = made_up(sd1, names=(LINEAR, WIDE, CONV, BIAS)).scaled(-2.0)
    done: list[tuple[int, int]] = []
    lora = LoRA.from_edits(sd1, [edit], rank=3, progress=lambda *each: done.append(each))
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert lora.rank == 3
    lost = 0.0
    for name in (LINEAR, WIDE, CONV):
        matrix = -2 * edit.deltas[name].flatten(1).numpy()
        a, b = (factor.flatten(1).numpy().astype(np.float64) for factor in lora.factors[name.removesuffix(".weight")])
        best = _last_singular_values(matrix, 3)
        assert np.linalg.norm(matrix - b @ a) == pytest.approx(best, rel=1e-5)
        assert lora.residuals[name] == pytest.approx(best / np.linalg.norm(matrix), rel=1e-5)
        lost += best**2
    assert lora.omitted == (BIAS,)
    assert lora.residuals[BIAS] == 1
    lost += 4 * float(edit.deltas[BIAS].double().norm()) ** 2
    whole = 4 * sum(float(delta.double().norm()) ** 2 for delta in edit.deltas.values())
    assert lora.residual == pytest.approx(math.sqrt(lost / whole), rel=1e-5)


@pytest.mark.parametrize("make", [tiny_sd1, tiny_sd2_v, tiny_sdxl])
def test_diffusers_reads_it_as_the_same_weights(make: Callable[[], Any], tmp_path: Path) -> None:
    model, pipeline = Model(make()), make()
    names = (LINEAR, WIDE, CONV, SHORTCUT, _text(model))
    edit = made_up(model, names=names)
    lora = LoRA.from_edits(model, [edit], rank=4)
    lora.save(tmp_path / "lora.safetensors")
    pipeline.load_lora_weights(tmp_path / "lora.safetensors")
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    for name in _names(model):
        component, _, path = name.partition(".")
        expected = model.parameter(name).detach()
        if name in names:
            a, b = lora.factors[name.removesuffix(".weight")]
            expected = expected + (b.flatten(1).double() @ a.flatten(1).double()).reshape(expected.shape).float()
        assert torch.allclose(getattr(pipeline, component).get_parameter(path), expected, atol=1e-6), name


def test_at_full_rank_diffusers_draws_what_the_edited_model_draws(tmp_path: Path) -> None:
    model, pipeline = Model(tiny_sd1(whole=True)), tiny_sd1(whole=True)
    edit = made_up(model, names=(LINEAR, CONV))
    lora = LoRA.from_edits(model, [edit], rank=1000)
    assert lora.rank == 32
    assert lora.residual < 1e-6
    lora.save(tmp_path / "lora.safetensors")
    pipeline.load_lora_weights(tmp_path / "lora.safetensors")
    plain = _latents(model.pipeline, model)
    with edit.on(model):
        edited = _latents(model.pipeline, model)
    assert (_latents(pipeline, model) - edited).abs().max() < 1e-4
    assert (plain - edited).abs().max() > 1e-3


def _latents(pipeline: Any, model: Model) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline("a dog", latents=model.noise([1]), num_inference_steps=2, output_type="latent").images


def test_a_change_of_low_rank_takes_no_more_than_that(sd1: Model) -> None:
    random = torch.Generator().manual_seed(0)
    outer = torch.outer(torch.randn(32, generator=random), torch.randn(16, generator=random))
    lora = LoRA.from_edits(sd1, [Edit({LINEAR: outer})], rank=8)
    assert lora.rank == 1
    assert lora.residual < 1e-6


def test_several_edits_are_one_lora_in_the_order_of_the_stack() -> None:
    model = Model(tiny_sd1(whole=True))
    positions = Zeroed.from_mask(torch.eye(32, 16).bool())
    edits = [
        made_up(model, names=(LINEAR,)),
        Edit(zeroed={LINEAR: positions}).scaled(0.5),
        made_up(model, seed=1, names=(LINEAR, CONV)).scaled(-1.0),
    ]
    base = {name: model.parameter(name).detach().clone() for name in (LINEAR, CONV)}
    before = weights_hash(model)
    lora = LoRA.from_edits(model, edits, rank=1000)
    assert weights_hash(model) == before
    assert lora.edits == tuple(edit.id for edit in edits)
    with edits[0].on(model), edits[1].on(model), edits[2].on(model):
        for name, weight in base.items():
            a, b = lora.factors[name.removesuffix(".weight")]
            change = (b.flatten(1) @ a.flatten(1)).reshape(weight.shape)
            assert torch.allclose(weight + change, model.parameter(name), atol=1e-5)


def test_all_layers_have_one_rank_and_no_scale_of_their_own(sd1: Model, tmp_path: Path) -> None:
    lora = LoRA.from_edits(sd1, [made_up(sd1, names=(LINEAR, "unet.conv_out.weight"))], rank=6)
    lora.save(tmp_path / "lora.safetensors")
    tensors = load_file(tmp_path / "lora.safetensors")
    assert {len(tensor) for name, tensor in tensors.items() if name.endswith("lora_A.weight")} == {6}
    assert all(name.endswith((".lora_A.weight", ".lora_B.weight")) for name in tensors)
    with pytest.raises(EditError, match="exists already"):
        LoRA.from_edits(sd1, [made_up(sd1)]).save(tmp_path / "lora.safetensors")


def test_what_no_lora_can_hold_is_refused(sd1: Model, sd2: Model) -> None:
    with pytest.raises(EditError, match="holds linear and convolution layers only"):
        LoRA.from_edits(sd1, [made_up(sd1, names=(BIAS,))])
    with pytest.raises(BadArgument, match="rank 0"):
        LoRA.from_edits(sd1, [made_up(sd1)], rank=0)
    with pytest.raises(BadArgument, match="0 edits"):
        LoRA.from_edits(sd1, [])
    with pytest.raises(WrongBase, match="was made for"):
        LoRA.from_edits(sd2, [made_up(sd1)])
    edit = made_up(sd1, seed=5)
    with edit.on(sd1), pytest.raises(EditError, match="must have none"):
        LoRA.from_edits(sd1, [made_up(sd1)])


@pytest.mark.parametrize("build", [tiny_sd1, tiny_sdxl])
def test_kohyas_names_hold_the_same_change(build: Callable[[], Any], tmp_path: Path) -> None:
    model = Model(build())
    text = [name for name in _names(model) if name.endswith("layers.1.self_attn.v_proj.weight")]
    edit = made_up(model, names=(LINEAR, CONV, *text))
    lora = LoRA.from_edits(model, [edit], rank=3)
    lora.save(tmp_path / "plain.safetensors")
    lora.save(tmp_path / "kohya.safetensors", "kohya")
    names = load_file(tmp_path / "kohya.safetensors")
    encoders = ["lora_te1", "lora_te2"] if len(text) == 2 else ["lora_te"]
    for prefix in ["lora_unet_mid_block_attentions_0", *(f"{each}_text_model_encoder_layers_1" for each in encoders)]:
        assert any(name.startswith(f"{prefix}_") for name in names), prefix
    assert {name.partition(".")[2] for name in names} == {"lora_down.weight", "lora_up.weight", "alpha"}
    assert {float(names[name]) for name in names if name.endswith(".alpha")} == {3.0}
    plain, kohya = (import_edit(tmp_path / f"{each}.safetensors", model) for each in ("plain", "kohya"))
    assert set(plain.names) == set(kohya.names) == set(edit.names)
    for name in plain.names:
        assert torch.allclose(plain.deltas[name], kohya.deltas[name], atol=1e-6)


def test_diffusers_reads_kohyas_names_too(tmp_path: Path) -> None:
    model = Model(tiny_sd1(whole=True))
    edit = made_up(model, names=(LINEAR,))
    LoRA.from_edits(model, [edit], rank=3).save(tmp_path / "kohya.safetensors", "kohya")
    model.pipeline.load_lora_weights(tmp_path, weight_name="kohya.safetensors")
    adapters = [name for name, _ in model.denoiser.named_parameters() if "lora_B" in name]
    assert adapters and all(name.startswith(LINEAR.removeprefix("unet.").removesuffix(".weight")) for name in adapters)
