"""Adapters as PEFT and diffusers write them, and what they merge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoHaConfig, LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from tiny import tiny_sd1, tiny_sdxl

from turpentine.core.errors import EditError
from turpentine.edits import Edit, import_edit
from turpentine.edits.formats.peft_config import check_config, scale_of
from turpentine.models import Model

TARGETS = ["to_k", "to_v"]
KEY = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"


def merged(folder: Path, config: LoraConfig, component: str = "unet", make: Callable[[], Any] = tiny_sd1) -> Edit:
    """Save an adapter as PEFT does, and return what PEFT merges of it."""
    base, own = Model(make()), getattr(make(), component)
    torch.manual_seed(1)
    adapter = get_peft_model(own, config)
    adapter.save_pretrained(folder)
    after = dict(adapter.merge_and_unload().named_parameters())
    names = {f"{component}.{name}": weight.detach() for name, weight in after.items()}
    deltas = {name: weight - base.parameter(name).detach() for name, weight in names.items()}
    return Edit({name: delta for name, delta in deltas.items() if delta.any()})


def assert_alike(edit: Edit, right: Edit) -> None:
    assert set(edit.names) == set(right.names)
    for name in right.names:
        torch.testing.assert_close(edit.deltas[name], right.deltas[name], rtol=1e-4, atol=1e-5)


CONFIGS: dict[str, dict[str, Any]] = {
    "alpha": {"lora_alpha": 16},
    "rank-stabilised": {"lora_alpha": 6, "use_rslora": True},
    "alpha by layer": {"lora_alpha": 6, "alpha_pattern": {"attn2.to_k": 3, "to_v": 20}},
    "rank by layer": {"lora_alpha": 6, "rank_pattern": {"attn1.to_k": 2}},
    "both": {"lora_alpha": 6, "rank_pattern": {"to_k": 1}, "alpha_pattern": {"attn1.to_k": 3}},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_an_adapter_is_what_peft_merges(tmp_path: Path, sd1: Model, name: str) -> None:
    right = merged(tmp_path, LoraConfig(r=4, target_modules=TARGETS, init_lora_weights=False, **CONFIGS[name]))
    assert_alike(import_edit(tmp_path, sd1), right)
    edit = import_edit(tmp_path / "adapter_model.safetensors", sd1)
    assert_alike(edit, right)
    assert edit.provenance.settings["form"] == "LoRA"


def test_names_without_pefts_prefix_have_the_scale_of_the_record_beside_them(tmp_path: Path, sd1: Model) -> None:
    right = merged(tmp_path, LoraConfig(r=4, target_modules=TARGETS, init_lora_weights=False, lora_alpha=16))
    file = tmp_path / "adapter_model.safetensors"
    bare = {name.removeprefix("base_model.model."): tensor for name, tensor in load_file(file).items()}
    save_file(bare, file)
    assert_alike(import_edit(file, sd1), right)


def _rewrite(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_scales_by_patterns_of_names_and_not_by_expressions() -> None:
    layers = {"alpha_pattern": {"^mid.to_k": 3, "to_k$": 5, "to_v": 7}, "lora_alpha": 2}
    check_config(layers)
    scales = [scale_of(path, 1, None, layers) for path in ("mid.to_k", "up.mid.to_k", "a.to_v", "a.into_v", "a.to_q")]
    assert scales == [3, 5, 7, 2, 2]
    with pytest.raises(EditError, match="by patterns"):
        check_config({"alpha_pattern": {"^mid_block.+": 3}})


@pytest.mark.parametrize("component", ["text_encoder", "text_encoder_2"])
def test_the_text_encoder_that_has_the_layers_is_the_one(tmp_path: Path, sdxl: Model, component: str) -> None:
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj"], init_lora_weights=False)
    right = merged(tmp_path, config, component, tiny_sdxl)
    assert_alike(import_edit(tmp_path, sdxl), right)


def test_a_folder_of_adapters_for_several_networks(tmp_path: Path, sd1: Model) -> None:
    unet = LoraConfig(r=2, lora_alpha=6, target_modules=TARGETS, init_lora_weights=False)
    text = LoraConfig(r=2, lora_alpha=1, target_modules=["fc1"], init_lora_weights=False)
    parts = [
        merged(tmp_path / "unet", unet).deltas,
        merged(tmp_path / "text_encoder", text, "text_encoder").deltas,
    ]
    assert_alike(import_edit(tmp_path, sd1), Edit({**parts[0], **parts[1]}))


def test_what_diffusers_saves_of_an_adapter_is_what_it_fuses(tmp_path: Path, sd1: Model) -> None:
    pipeline = tiny_sd1()
    patterns = {"alpha_pattern": {"attn2.to_k": 3}}
    pipeline.unet.add_adapter(
        LoraConfig(r=2, lora_alpha=6, target_modules=TARGETS, init_lora_weights=False, **patterns)
    )

    pipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(pipeline.unet),
        unet_lora_adapter_metadata=pipeline.unet.peft_config["default"].to_dict(),
    )
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    after = pipeline.unet.get_parameter(KEY.removeprefix("unet."))
    found = import_edit(tmp_path, sd1)  # the folder itself, with pytorch_lora_weights.safetensors
    torch.testing.assert_close(found.deltas[KEY], (after - sd1.parameter(KEY)).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("adapter", ["default", "default_0", "style"])
def test_an_adapters_name_in_the_keys(tmp_path: Path, sd1: Model, adapter: str) -> None:
    out, into = sd1.parameter(KEY).shape
    layer = KEY.removesuffix(".weight")
    factors = {
        f"{layer}.lora_A.{adapter}.weight": torch.ones(2, into),
        f"{layer}.lora_B.{adapter}.weight": torch.ones(out, 2),
    }
    save_file(factors, tmp_path / "lora.safetensors")
    assert torch.equal(import_edit(tmp_path / "lora.safetensors", sd1).deltas[KEY], torch.full((out, into), 2.0))
    more = {name.replace(f".{adapter}.", ".other."): factor.clone() for name, factor in factors.items()}
    save_file({**factors, **more}, tmp_path / "two.safetensors")
    with pytest.raises(EditError, match=r"several adapters \(\w+, \w+\)"):
        import_edit(tmp_path / "two.safetensors", sd1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "all"}, "bias='all'"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights='pissa_niter_4'"),
        ({"modules_to_save": ["conv_in"]}, "modules_to_save"),
        ({"something_new": 3}, "something_new=3"),
        ({"peft_type": "IA3"}, "IA3, and no LoRA"),
    ],
)
def test_what_is_no_plain_lora_is_refused_by_its_setting(
    tmp_path: Path, sd1: Model, changes: dict[str, Any], sentence: str
) -> None:
    merged(tmp_path, LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False))
    _rewrite(tmp_path, **changes)
    with pytest.raises(EditError, match=sentence):
        import_edit(tmp_path, sd1)


def test_an_adapter_without_its_config_has_no_scale(tmp_path: Path, sd1: Model) -> None:
    merged(tmp_path, LoraConfig(r=2, lora_alpha=6, target_modules=["to_k"], init_lora_weights=False))
    config = (tmp_path / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(EditError, match=r"no adapter_config\.json, which says the adapter's scale"):
        import_edit(tmp_path, sd1)
    (tmp_path / "adapter_config.json").write_text(config[:20])
    with pytest.raises(EditError, match="cannot be read"):
        import_edit(tmp_path, sd1)


def test_an_adapter_taken_out_of_its_folder_says_that_its_scale_stayed_there(tmp_path: Path, sd1: Model) -> None:
    merged(tmp_path / "whole", LoraConfig(r=2, lora_alpha=6, target_modules=["to_k"], init_lora_weights=False))
    (tmp_path / "whole" / "adapter_model.safetensors").rename(tmp_path / "style.safetensors")
    with pytest.warns(UserWarning, match=r"style\.safetensors does not say its scale.*taken for 1"):
        import_edit(tmp_path / "style.safetensors", sd1)


def test_another_kind_of_adapter_is_named(tmp_path: Path, sd1: Model) -> None:
    torch.manual_seed(0)
    get_peft_model(tiny_sd1().unet, LoHaConfig(r=2, target_modules=["to_k"], init_weights=False)).save_pretrained(
        tmp_path
    )
    with pytest.raises(EditError, match="LOHA, and no LoRA"):
        import_edit(tmp_path, sd1)


def test_several_saves_in_one_folder_are_listed(tmp_path: Path, sd1: Model) -> None:
    config = LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False)
    merged(tmp_path / "early", config)
    merged(tmp_path / "late", config)
    with pytest.raises(EditError, match=r"holds 2 saves \(early, late\)"):
        import_edit(tmp_path, sd1)
    tensors = load_file(tmp_path / "late" / "adapter_model.safetensors")
    save_file(tensors, tmp_path / "late" / "adapter_model_step_500.safetensors")
    with pytest.raises(EditError, match=r"adapter_model\.safetensors, adapter_model_step_500\.safetensors"):
        import_edit(tmp_path / "late", sd1)


def test_two_saves_of_a_network_in_one_folder_are_no_mixture(tmp_path: Path, sd1: Model) -> None:
    pipeline = tiny_sd1()
    with torch.no_grad():
        pipeline.unet.conv_in.bias.add_(1)
    pipeline.unet.save_pretrained(tmp_path / "edited")
    pipeline.unet.save_pretrained(tmp_path / "parts", max_shard_size="100KB")
    for part in (tmp_path / "parts").glob("*.safetensors"):
        part.rename(tmp_path / "edited" / part.name)
    with pytest.raises(EditError, match="holds 2 saves"):
        import_edit(tmp_path / "edited", sd1)


def _edited_encoder(make: Callable[[], Any], component: str) -> tuple[Any, str]:
    encoder = getattr(make(), component)
    name = next(name for name, _ in encoder.named_parameters() if "layers.1.mlp.fc1.weight" in name)
    with torch.no_grad():
        encoder.get_parameter(name).add_(0.1)
    return encoder, f"{component}.{name}"


@pytest.mark.parametrize(
    ("make", "component"), [(tiny_sd1, "text_encoder"), (tiny_sdxl, "text_encoder"), (tiny_sdxl, "text_encoder_2")]
)
def test_an_edited_text_encoder_alone(tmp_path: Path, make: Callable[[], Any], component: str) -> None:
    encoder, name = _edited_encoder(make, component)
    encoder.save_pretrained(tmp_path / "erased")
    weights = {key.removeprefix("text_model."): weight.clone() for key, weight in encoder.state_dict().items()}
    # as transformers 4 names them
    outer = "text_projection"
    old = {key if key.startswith(outer) else f"text_model.{key}": weight for key, weight in weights.items()}
    save_file(old, tmp_path / "erased.safetensors")
    for path in (tmp_path / "erased", tmp_path / "erased.safetensors"):
        found = import_edit(path, Model(make()))
        assert found.names == (name,)
        torch.testing.assert_close(found.deltas[name], torch.full_like(found.deltas[name], 0.1))


def test_an_autoencoder_that_differs_is_warned_of(tmp_path: Path, sd1: Model) -> None:
    pipeline = tiny_sd1()
    with torch.no_grad():
        pipeline.unet.conv_in.bias.add_(1)
        pipeline.vae.decoder.conv_in.bias.add_(1)
    pipeline.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="autoencoder .* is no part of the edit"):
        assert import_edit(tmp_path, sd1).names == ("unet.conv_in.bias",)
