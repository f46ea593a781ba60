"""What others publish, written here as they write it, and read as an edit."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from edits.weights import made_up, weights_hash
from safetensors.torch import load_file, save_file
from tiny import tiny_sd1, tiny_sdxl
from torch import Tensor

from turpentine.core.errors import EditError, NotFinite, UnsafeFile, WrongBase
from turpentine.edits import Edit, LoRA, import_edit, read_edit
from turpentine.models import Model


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


ATTENTION = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2"
KEYS, OUT, BIAS = f"{ATTENTION}.to_k.weight", f"{ATTENTION}.to_out.0.weight", f"{ATTENTION}.to_out.0.bias"
CONV = "unet.up_blocks.1.resnets.2.conv1.weight"
NAMES = (KEYS, OUT, BIAS, CONV)


def _published(model: Model, edit: Edit, dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights in full, as ESD and UCE save them: under the UNet's own names."""
    with edit.on(model):
        return {name.removeprefix("unet."): model.parameter(name).detach().to(dtype, copy=True) for name in edit.names}


def test_esds_and_uces_weights_are_their_difference_to_the_model(sd1: Model, tmp_path: Path) -> None:
    edit, path = made_up(sd1, names=NAMES), tmp_path / "esd-church-from-church-esdx.safetensors"
    save_file(_published(sd1, edit, torch.float32), path)
    found = import_edit(path, sd1)
    assert found.names == tuple(sorted(NAMES, key=found.names.index))
    for name in NAMES:
        assert torch.allclose(found.deltas[name], edit.deltas[name], atol=1e-6)
    assert found.provenance.method == "imported"
    assert found.provenance.settings == {"file": path.name, "form": "weights"}
    assert (found.provenance.base, found.provenance.model) == (sd1.fingerprint, sd1.name)
    found.save(tmp_path / "edit.safetensors")
    assert read_edit(tmp_path / "edit.safetensors", sd1) == found


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_only_rounding_changed_is_no_part_of_the_edit(sd1: Model, tmp_path: Path, dtype: torch.dtype) -> None:
    edit, path = made_up(sd1, names=NAMES[:1]), tmp_path / "esd.safetensors"
    untouched = {OUT.removeprefix("unet."): sd1.parameter(OUT).detach().to(dtype)}
    published = _published(sd1, edit, dtype)
    save_file({**published, **untouched}, path)
    found = import_edit(path, sd1)
    assert found.names == (KEYS,)
    assert torch.equal(found.deltas[KEYS], published[KEYS[5:]].float() - sd1.parameter(KEYS).detach().to(dtype).float())
    coarse = Model(tiny_sd1(whole=True).to(dtype=dtype))
    with import_edit(path, coarse).on(coarse):
        assert torch.equal(coarse.parameter(KEYS), published[KEYS[5:]])


def test_a_file_finer_than_the_model_is_compared_as_the_model_is(sd1: Model, tmp_path: Path) -> None:
    edit, path = made_up(sd1, names=NAMES[:1]), tmp_path / "esd.safetensors"
    save_file({**_published(sd1, edit, torch.float32), OUT[5:]: sd1.parameter(OUT).detach()}, path)
    assert import_edit(path, Model(tiny_sd1(whole=True).to(dtype=torch.float16))).names == (KEYS,)


@pytest.mark.parametrize("how", [{}, {"max_shard_size": "100KB"}, {"variant": "fp16"}])
def test_an_edited_unets_folder(tmp_path: Path, how: dict[str, str]) -> None:
    model = Model(tiny_sd1(whole=True))
    edit = made_up(model, names=NAMES)
    with edit.on(model):
        model.denoiser.save_pretrained(tmp_path / "edited", **how)
    found = import_edit(tmp_path / "edited", model)
    assert set(found.names) == set(NAMES)
    assert all(torch.allclose(found.deltas[name], edit.deltas[name], atol=1e-6) for name in NAMES)
    assert found.provenance.settings["form"] == "folder"


def test_a_network_with_a_part_missing_is_no_partial_edit(tmp_path: Path) -> None:
    model = Model(tiny_sd1(whole=True))
    with made_up(model, names=NAMES).on(model):
        model.denoiser.save_pretrained(tmp_path / "edited", max_shard_size="100KB")
        model.denoiser.save_pretrained(tmp_path / "whole" / "unet")
    parts = sorted((tmp_path / "edited").glob("*-of-*.safetensors"))
    with pytest.raises(EditError, match=rf"is one of {len(parts)} parts of a network: give its folder"):
        import_edit(parts[0], model)
    parts[1].unlink()
    with pytest.raises(EditError, match=r"edited lacks \d+ weights of a whole network, unet\."):
        import_edit(tmp_path / "edited", model)
    (file,) = (tmp_path / "whole" / "unet").glob("*.safetensors")
    weights = load_file(file)
    weights.pop("conv_in.bias")
    save_file(weights, file)
    with pytest.raises(EditError, match=r"unet lacks 1 weights of a whole network, unet\.conv_in\.bias among"):
        import_edit(tmp_path / "whole", model)


def test_a_pipelines_folder_with_its_text_encoders(tmp_path: Path) -> None:
    model = Model(tiny_sdxl(whole=True))
    text = [
        f"{part}.{next(name for name, _ in model.components[part].named_parameters() if 'layers.1.mlp.fc1' in name)}"
        for part in ("text_encoder", "text_encoder_2")
    ]
    edit = made_up(model, names=(*text, "unet.conv_in.weight"))
    with edit.on(model):
        model.save_pretrained(tmp_path / "edited")
    found = import_edit(tmp_path / "edited", model)
    assert set(found.names) == set(edit.names)


def test_our_own_lora_comes_back(sd1: Model, tmp_path: Path) -> None:
    lora = LoRA.from_edits(sd1, [made_up(sd1, names=(KEYS, OUT, CONV, _text_layer(sd1)))], rank=3)
    lora.save(tmp_path / "lora.safetensors")
    found = import_edit(tmp_path / "lora.safetensors", sd1)
    assert found.provenance.settings["form"] == "LoRA"
    for name in found.names:
        a, b = lora.factors[name.removesuffix(".weight")]
        assert torch.allclose(found.deltas[name].flatten(1), b.flatten(1) @ a.flatten(1), atol=1e-6)
    assert len(found.names) == 4


def _text_layer(model: Model) -> str:
    inner = "text_model." if hasattr(model.components["text_encoder"], "text_model") else ""
    return f"text_encoder.{inner}encoder.layers.0.self_attn.q_proj.weight"


def _factors(model: Model, name: str, rank: int = 2) -> tuple[Tensor, Tensor]:
    shape = model.parameter(name).shape
    generator = torch.Generator().manual_seed(len(name))
    down = torch.randn((rank, *shape[1:]), generator=generator)
    return down, torch.randn((shape[0], rank, *(1 for _ in shape[2:])), generator=generator)


def _product(down: Tensor, up: Tensor) -> Tensor:
    """up·down, element by element in fp64."""
    flat_down, flat_up = down.flatten(1).double(), up.flatten(1).double()
    rows = [sum(flat_up[row, r] * flat_down[r] for r in range(len(down))) for row in range(len(up))]
    return torch.stack(rows).reshape(len(up), *down.shape[1:]).float()


KOHYA = {
    KEYS: "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k",
    OUT: "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_out_0",
    CONV: "lora_unet_up_blocks_1_resnets_2_conv1",
}


def _kohya(model: Model, layers: dict[str, str], alphas: dict[str, float]) -> dict[str, Tensor]:
    tensors = {}
    for name, written in layers.items():
        down, up = _factors(model, name)
        tensors |= {f"{written}.lora_down.weight": down, f"{written}.lora_up.weight": up}
        tensors[f"{written}.alpha"] = torch.tensor(alphas[name])
    return tensors


def test_kohyas_layout_means_what_diffusers_reads_in_it(tmp_path: Path) -> None:
    model, pipeline = Model(tiny_sd1(whole=True)), tiny_sd1(whole=True)
    save_file(_kohya(model, KOHYA, dict.fromkeys(KOHYA, 0.5)), tmp_path / "lora.safetensors")
    found = import_edit(tmp_path / "lora.safetensors", model)
    pipeline.load_lora_weights(tmp_path / "lora.safetensors")
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    assert set(found.names) == set(KOHYA)
    for name in KOHYA:
        fused = pipeline.unet.get_parameter(name.removeprefix("unet.")) - model.parameter(name)
        assert torch.allclose(found.deltas[name], fused, atol=1e-5), name


def test_each_layer_has_its_own_alpha(sd1: Model, tmp_path: Path) -> None:
    layers = {**KOHYA, _text_layer(sd1): "lora_te_text_model_encoder_layers_0_self_attn_q_proj"}
    alphas = dict(zip(layers, (1.0, 4.0, 2.0, 0.5), strict=True))
    save_file(_kohya(sd1, layers, alphas), tmp_path / "lora.safetensors")
    found = import_edit(tmp_path / "lora.safetensors", sd1)
    assert set(found.names) == set(layers)
    for name, alpha in alphas.items():
        assert torch.allclose(found.deltas[name], alpha / 2 * _product(*_factors(sd1, name)), atol=1e-5)


@pytest.mark.parametrize(
    ("written", "down", "up"),
    [
        (KEYS[:-7], "lora_A.weight", "lora_B.weight"),
        (KEYS[5:-7], "lora_A.weight", "lora_B.weight"),
        (f"base_model.model.{KEYS[5:-7]}", "lora_A.default.weight", "lora_B.default.weight"),
        (KEYS[:-7], "lora.down.weight", "lora.up.weight"),
        (f"{ATTENTION}.processor.to_k_lora", "down.weight", "up.weight"),
        (f"diffusion_model.input_blocks.4.1.{KEYS[32:-7]}", "lora_A.weight", "lora_B.weight"),
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", "lora_down.weight", "lora_up.weight"),
    ],
)
def test_other_layouts_name_the_same_layer(sd1: Model, tmp_path: Path, written: str, down: str, up: str) -> None:
    a, b = _factors(sd1, KEYS)
    save_file({f"{written}.{down}": a, f"{written}.{up}": b}, tmp_path / "lora.safetensors")
    found = import_edit(tmp_path / "lora.safetensors", sd1)
    assert found.names == (KEYS,)
    assert torch.allclose(found.deltas[KEYS], _product(a, b), atol=1e-5)


def test_a_1_x_1_convolution_may_be_written_as_a_matrix(sd1: Model, tmp_path: Path) -> None:
    name = "unet.mid_block.attentions.0.proj_in.weight"
    down, up = _factors(sd1, name)
    factors = {"lora_A": down.flatten(1), "lora_B": up.flatten(1)}
    save_file({f"{name[:-7]}.{end}.weight": each for end, each in factors.items()}, tmp_path / "lora.safetensors")
    found = import_edit(tmp_path / "lora.safetensors", sd1).deltas[name]
    assert found.shape == sd1.parameter(name).shape
    assert torch.allclose(found, _product(down, up), atol=1e-5)


def test_sdxls_second_text_encoder_and_original_block_names(sdxl: Model, tmp_path: Path) -> None:
    layers = {
        "lora_te2_text_model_encoder_layers_1_mlp_fc2": "text_encoder_2.text_model.encoder.layers.1.mlp.fc2.weight",
        "lora_unet_output_blocks_0_1_proj_in": "unet.up_blocks.0.attentions.0.proj_in.weight",
        "lora_unet_input_blocks_1_0_in_layers_2": "unet.down_blocks.0.resnets.0.conv1.weight",
    }
    tensors = {}
    for written, name in layers.items():
        down, up = _factors(sdxl, name)
        tensors |= {f"{written}.lora_down.weight": down, f"{written}.lora_up.weight": up}
    save_file(tensors, tmp_path / "lora.safetensors")
    found = import_edit(tmp_path / "lora.safetensors", sdxl)
    assert set(found.names) == set(layers.values())
    for name in layers.values():
        assert torch.allclose(found.deltas[name], _product(*_factors(sdxl, name)), atol=1e-5)


@pytest.mark.parametrize(
    ("record", "scale"),
    [
        ({"unet.lora_alpha": 6, "unet.r": 2}, 3.0),
        ({"unet.lora_alpha": 6, "unet.alpha_pattern": {ATTENTION[5:] + ".to_k": 1}}, 0.5),
        ({"unet.lora_alpha": 6, "unet.use_rslora": True}, 6 / math.sqrt(2)),
        ({"unet.lora_alpha": 6, "unet.alpha_pattern": {"other": 1}}, 3.0),
        ({"text_encoder.lora_alpha": 6}, 1.0),
    ],
)
def test_the_scale_that_diffusers_records_counts(
    sd1: Model, tmp_path: Path, record: dict[str, Any], scale: float
) -> None:
    a, b = _factors(sd1, KEYS)
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(record)}
    save_file({f"{KEYS[:-7]}.lora_A.weight": a, f"{KEYS[:-7]}.lora_B.weight": b}, tmp_path / "l.safetensors", metadata)
    assert torch.allclose(import_edit(tmp_path / "l.safetensors", sd1).deltas[KEYS], scale * _product(a, b), atol=1e-5)


@pytest.mark.parametrize("name", ["unet.pt", "esd.pth", "model.ckpt", "lora.bin", "x.pkl"])
def test_pickles_are_refused_with_the_way_to_convert_them(
    sd1: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / name)
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("a pickle was read"))
    sentence = _refused(UnsafeFile, tmp_path / name, sd1)
    assert "weights_only=True" in sentence
    assert "save_file" in sentence


def test_a_folder_of_pickles_is_refused(sd1: Model, tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04never read")
    assert "diffusion_pytorch_model.bin" in _refused(UnsafeFile, tmp_path, sd1)
    assert "no weights" in _refused(EditError, _made(tmp_path / "empty"), sd1)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _refused(error: type[Exception], path: Path, model: Model) -> str:
    before = weights_hash(model)
    with pytest.raises(error) as caught:
        read_edit(path, model)
    assert weights_hash(model) == before
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


Spoil = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (lambda tensors: {**tensors, "no.such.weight": torch.ones(2)}, WrongBase, "holds no.such.weight"),
        (
            lambda tensors: {"cond_stage_model.a": torch.ones(2), "model.diffusion_model.b": torch.ones(2)},
            EditError,
            "it is a whole model in one file, and no edit: give it as the model, as by --model",
        ),
        (lambda tensors: {KEYS[5:]: torch.ones(2, 2)}, WrongBase, "has the shape (2, 2)"),
        (lambda tensors: {KEYS[5:]: tensors[KEYS[5:]].to(torch.int64)}, EditError, "torch.int64"),
        (lambda tensors: {f"{KEYS[5:-7]}.lora_A.weight": torch.ones(2, 16)}, EditError, "is missing"),
        (lambda tensors: {f"{KEYS[5:-7]}.hada_w1_a": torch.ones(2, 16)}, EditError, "hada_w1_a is of no plain LoRA"),
        (
            lambda tensors: {f"no.{end}": torch.ones(2, 2) for end in ("lora_A.weight", "lora_B.weight")},
            WrongBase,
            "no",
        ),
        (
            lambda tensors: {f"{KEYS[5:-7]}.{end}": torch.ones(2, 2) for end in ("lora_A.weight", "lora_B.weight")},
            WrongBase,
            "model's weight is (16, 16)",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    sd1: Model, tmp_path: Path, spoil: Spoil, error: type[Exception], says: str
) -> None:
    path = tmp_path / "file.safetensors"
    save_file(spoil(_published(sd1, made_up(sd1, names=(KEYS,)), torch.float32)), path)
    assert re.search(re.escape(says), _refused(error, path, sd1))


def test_nothing_new_nan_cuts_and_edited_models_are_refused(sd1: Model, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    save_file({KEYS[5:]: sd1.parameter(KEYS).detach()}, path)
    assert "in nothing" in _refused(EditError, path, sd1)
    save_file({KEYS[5:]: torch.full((16, 16), float("nan"))}, path)
    with pytest.raises(NotFinite, match=re.escape(KEYS)):
        import_edit(path, sd1)
    path.write_bytes(path.read_bytes()[:-4])
    assert "truncated" in _refused(EditError, path, sd1)
    _refused(EditError, tmp_path / "nothing.safetensors", sd1)
    edit = made_up(sd1)
    with edit.on(sd1), pytest.raises(EditError, match="must have none"):
        import_edit(path, sd1)
