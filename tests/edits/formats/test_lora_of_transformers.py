"""Edits of denoisers that are transformers as LoRAs and as published files: what diffusers' pipelines make of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from edits.weights import made_up
from safetensors.torch import load_file, save_file

from turpentine.concepts import Concept
from turpentine.core.errors import EditError, EmptySelection
from turpentine.edits import Edit, LoRA
from turpentine.edits.formats.changed_weights import save_changed_weights
from turpentine.edits.formats.foreign import import_edit
from turpentine.erase.esd import ESD
from turpentine.models import Model
from turpentine.models.families.flux import packed
from turpentine.testing.toys import tiny_flux, tiny_flux_2_dev, tiny_sd3, toy

BLOCK = "transformer.transformer_blocks.0"
READERS = ("transformer.context_embedder.weight", "transformer.time_text_embed.text_embedder.linear_1.weight")
JOINT = tuple(f"{BLOCK}.attn.{leaf}.weight" for leaf in ("to_k", "to_out.0", "add_k_proj", "add_v_proj"))
CLIP = "layers.0.self_attn.v_proj.weight"
SINGLE = tuple(f"transformer.single_transformer_blocks.0.{leaf}.weight" for leaf in ("attn.to_v", "proj_out"))
FUSED = tuple(f"transformer.single_transformer_blocks.0.attn.{leaf}.weight" for leaf in ("to_qkv_mlp_proj", "to_out"))
NAMES = {"sd3": (*READERS, *JOINT), "flux": (*READERS, *JOINT, *SINGLE), "flux2-dev": (READERS[0], *JOINT, *FUSED)}
MAKERS: dict[str, Callable[[], Any]] = {
    "sd3": lambda: tiny_sd3(t5=False),
    "flux": tiny_flux,
    "flux2-dev": tiny_flux_2_dev,
}


@pytest.fixture(params=["sd3", "flux", "flux2-dev"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def edit_of(model: Model, family: str) -> Edit:
    if family == "flux2-dev":  # of its text encoder diffusers reads no LoRA
        return made_up(model, names=NAMES[family])
    clip = [name for name, _ in model.components["text_encoder"].named_parameters() if name.endswith(CLIP)]
    return made_up(model, names=(*NAMES[family], f"text_encoder.{clip[0]}"))


def _latents(pipeline: Any, model: Model, family: str) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    x, size = model.noise([1]), {"height": 32, "width": 32}
    given = packed(x) if family == "flux" else x
    how: dict[str, Any] = {"text_encoder_out_layers": (1, 2, 3)} if family == "flux2-dev" else {}
    return pipeline(prompt="a dog", latents=given, num_inference_steps=2, output_type="latent", **size, **how).images


def test_diffusers_draws_with_it_what_the_edited_model_draws(family: str, tmp_path: Path) -> None:
    """Attention of text and picture, single blocks, what embeds the text, and CLIP."""
    model, pipeline = Model(MAKERS[family]()), MAKERS[family]()
    edit = edit_of(model, family)
    lora = LoRA.from_edits(model, [edit], rank=1000)
    assert lora.residual < 1e-6 and not lora.omitted
    lora.save(tmp_path / "lora.safetensors")
    keys = load_file(tmp_path / "lora.safetensors")
    assert f"{BLOCK}.attn.add_k_proj.lora_A.weight" in keys and "transformer.context_embedder.lora_B.weight" in keys
    pipeline.load_lora_weights(tmp_path / "lora.safetensors")
    plain = _latents(model.pipeline, model, family)
    with edit.on(model):
        edited = _latents(model.pipeline, model, family)
    assert (_latents(pipeline, model, family) - edited).abs().max() < 1e-4
    assert (plain - edited).abs().max() > 1e-3
    again = import_edit(tmp_path / "lora.safetensors", model)
    assert set(again.names) == set(edit.names)
    for name in edit.names:
        torch.testing.assert_close(again.deltas[name], edit.deltas[name], atol=1e-5, rtol=1e-4)


def test_names_of_peft_without_a_component_are_the_denoisers(tmp_path: Path) -> None:
    model = Model(tiny_flux())
    lora = LoRA.from_edits(model, [made_up(model, names=JOINT)], rank=2)
    lora.save(tmp_path / "lora.safetensors")
    tensors = load_file(tmp_path / "lora.safetensors")
    inner = {f"base_model.model.{key.removeprefix('transformer.')}": tensor for key, tensor in tensors.items()}
    save_file(inner, tmp_path / "peft.safetensors")
    with pytest.warns(UserWarning, match="does not say its scale"):
        assert set(import_edit(tmp_path / "peft.safetensors", model).names) == set(JOINT)


@pytest.mark.parametrize("names", [JOINT, READERS], ids=["ESD-FLUX", "UCE-FLUX"])
def test_files_as_authors_publish_them_are_read(names: tuple[str, ...], tmp_path: Path) -> None:
    """Whole weights under the transformer's own names: `erasing` saves what it trained, `unified-concept-editing` both
    embedders of the text."""
    model = Model(tiny_flux())
    edit = made_up(model, names=names)
    with edit.on(model):
        whole = {name.removeprefix("transformer."): model.parameter(name).detach().clone() for name in names}
        save_changed_weights(model, tmp_path / "ours.safetensors")
    save_file(whole, tmp_path / "theirs.safetensors")
    assert set(load_file(tmp_path / "ours.safetensors")) == set(whole)
    for file in ("ours", "theirs"):
        again = import_edit(tmp_path / f"{file}.safetensors", model)
        assert set(again.names) == set(names)
        with again.on(model):
            assert all(torch.equal(model.parameter(f"transformer.{name}"), weight) for name, weight in whole.items())


def test_kohyas_names_are_refused(tmp_path: Path) -> None:
    model = Model(tiny_flux())
    lora = LoRA.from_edits(model, [made_up(model, names=JOINT)], rank=2)
    with pytest.raises(EditError, match=r"kohya's layout has no name here for transformer\.transformer_blocks\.0"):
        lora.save(tmp_path / "lora.safetensors", "kohya")
    assert not list(tmp_path.iterdir())


def test_esd_of_a_transformer_is_a_lora_without_a_rest(family: str) -> None:
    model = toy(family)
    settings = {"sites": "x", "steps": 2, "trajectories": 1, "sampling_steps": 2, "lr": 1e-2}
    edit = ESD(**settings, rank=2)(model, Concept("church"))
    assert edit.provenance.settings["rank"] == 2
    assert all(name.endswith(".weight") and ".attn." in name for name in edit.names)
    lora = LoRA.from_edits(model, [edit], rank=2)
    assert lora.rank == 2 and lora.residual < 1e-5 and not lora.omitted


def test_esd_of_a_rank_trains_matrices_alone() -> None:
    model = toy("flux")
    with pytest.raises(EmptySelection, match="the sites hold no matrix that a LoRA could change"):
        ESD(sites="norm", steps=1, trajectories=1, sampling_steps=2, rank=2)(model, Concept("church"))
