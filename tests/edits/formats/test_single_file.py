"""A model in one file, in the original layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ldm
import pytest
import torch
from edits.weights import made_up
from safetensors import safe_open
from tiny import tiny_sd1, tiny_sd2_v, tiny_sdxl

from turpentine.core.errors import EditError
from turpentine.edits import Edit, save_single_file
from turpentine.edits.formats.single_file import original_weights
from turpentine.models import Model, load


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


MID = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
# As published files have them: what programs know a family by, and places where families and layouts differ.
NAMES = {
    tiny_sd1: {
        "model.diffusion_model.output_blocks.11.0.skip_connection.weight": (8, 16, 1, 1),
        "model.diffusion_model.input_blocks.3.0.op.weight": (8, 8, 3, 3),
        "model.diffusion_model.output_blocks.2.1.conv.weight": (32, 32, 3, 3),
        "model.diffusion_model.output_blocks.8.2.conv.weight": (16, 16, 3, 3),
        "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": (32, 16),
        "first_stage_model.decoder.up.2.upsample.conv.weight": (8, 8, 3, 3),
        "first_stage_model.encoder.mid.attn_1.q.weight": (8, 8, 1, 1),
        "cond_stage_model.transformer.text_model.encoder.layers.2.self_attn.q_proj.weight": (16, 16),
    },
    tiny_sd2_v: {
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (8, 16),
        "cond_stage_model.model.positional_embedding": (16, 16),
        "cond_stage_model.model.transformer.resblocks.2.attn.in_proj_weight": (48, 16),
        "cond_stage_model.model.transformer.resblocks.0.mlp.c_fc.bias": (32,),
        "cond_stage_model.model.ln_final.weight": (16,),
    },
    tiny_sdxl: {
        "model.diffusion_model.label_emb.0.2.weight": (32, 32),
        "model.diffusion_model.output_blocks.2.2.conv.weight": (32, 32, 3, 3),
        "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight": (16, 16),
        "conditioner.embedders.1.model.text_projection": (24, 24),
        "conditioner.embedders.1.model.transformer.resblocks.1.attn.in_proj_bias": (72,),
    },
}


@pytest.mark.parametrize("make", NAMES)
def test_the_file_is_read_back_bit_by_bit_and_draws_the_same(make: Callable[[], Any], tmp_path: Path) -> None:
    """Loading goes through diffusers' own `from_single_file`."""
    model = Model(make())
    model.pipeline.save_pretrained(tmp_path / "configs")
    edit = made_up(model, names=(MID, "unet.conv_in.weight"))
    with edit.on(model):
        save_single_file(model, tmp_path / "edited.safetensors")
        read = load(tmp_path / "edited.safetensors", config=tmp_path / "configs")
        for part, network in model.components.items():
            weights = dict(read.components[part].named_parameters())
            assert weights.keys() == dict(network.named_parameters()).keys()
            for name, weight in network.named_parameters():
                assert torch.equal(weights[name], weight), f"{part}.{name}"
        assert (_latents(read) - _latents(model)).abs().max() < 1e-4
    assert (_latents(read) - _latents(model)).abs().max() > 1e-3


def _latents(model: Model) -> torch.Tensor:
    model.pipeline.set_progress_bar_config(disable=True)
    latents = model.noise([3])
    return model.pipeline("a church", latents=latents, num_inference_steps=2, output_type="latent").images


@pytest.mark.parametrize("make", NAMES)
def test_the_names_and_shapes_are_the_originals(make: Callable[[], Any]) -> None:
    weights = original_weights(Model(make(whole=True)))
    assert {name: tuple(weights[name].shape) for name in NAMES[make]} == NAMES[make]


def test_every_name_of_stable_diffusion_1_is_as_written_down_elsewhere() -> None:
    pipeline = tiny_sd1(whole=True)
    expected, found = ldm.single_file(pipeline), original_weights(Model(pipeline))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name].flatten(), weight.flatten()) for name, weight in expected.items())


def test_the_metadata_lists_the_edits(sd1: Model, tmp_path: Path) -> None:
    first, second = made_up(sd1), made_up(sd1, seed=1).scaled(0.5)
    with first.on(sd1), second.on(sd1):
        save_single_file(sd1, tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        record = json.loads(file.metadata()["turpentine.model"])
    assert record["base"] == sd1.fingerprint
    assert [(edit["id"], edit["strength"]) for edit in record["edits"]] == [(first.id, 1.0), (second.id, 0.5)]
    with pytest.raises(EditError, match="not a Turpentine edit"):
        Edit.load(tmp_path / "model.safetensors")


def test_nothing_is_replaced_and_nothing_half_written(sd1: Model, tmp_path: Path) -> None:
    taken = tmp_path / "model.safetensors"
    taken.write_text("years of work")
    with pytest.raises(EditError, match="exists already"):
        save_single_file(sd1, taken)
    assert taken.read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_weight_without_a_name_there_is_told(tmp_path: Path) -> None:
    model = Model(tiny_sd1(whole=True))
    model.denoiser.controller = torch.nn.Linear(2, 2)
    with pytest.raises(EditError, match=r"controller\.weight has no name"):
        save_single_file(model, tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []
