"""What ComfyUI and A1111 read of an exported file, by their own rules of names, written down anew.

Both hold a model under the names of the original layout, and look a LoRA's layers up there. So what each rule makes of
our names must be a weight of our single file, and the LoRA's product there must be the change that was exported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from edits.weights import made_up
from safetensors.torch import load_file
from tiny import tiny_sd1, tiny_sd2_v, tiny_sdxl
from torch import nn

from turpentine.edits import LoRA
from turpentine.edits.formats.single_file import original_weights
from turpentine.models import Model

RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
ATTENTION = ("proj_in", "proj_out")
BLOCK = (
    *(f"attn{number}.to_{part}" for number in (1, 2) for part in ("q", "k", "v", "out.0")),
    *("ff.net.0.proj", "ff.net.2"),
)
TEXT = (*(f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")), "mlp.fc1", "mlp.fc2")
OPENCLIP = {"self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
UNET = "model.diffusion_model."
Table = Mapping[str, str]
"""Names of a LoRA's layers, and the weights of the original layout that they stand for."""


def flat(name: str) -> str:
    return name.replace(".", "_")


def comfy_table(names: set[str]) -> Table:
    """ComfyUI: a table made from the model's names, level by level, and the names as they are beside it."""
    own = [name.removeprefix(UNET).removesuffix(".weight") for name in names if name.startswith(UNET)]
    table = {f"lora_unet_{flat(name)}": f"{UNET}{name}.weight" for name in own}
    pairs = [("conv_in", "input_blocks.0.0"), ("conv_out", "out.2")]
    pairs += [(f"time_embedding.linear_{number}", f"time_embed.{2 * number - 2}") for number in (1, 2)]
    pairs += [(f"add_embedding.linear_{number}", f"label_emb.0.{2 * number - 2}") for number in (1, 2)]
    pairs += comfy_levels(own)
    table |= {f"lora_unet_{flat(ours)}": f"{UNET}{theirs}.weight" for ours, theirs in pairs}
    return {name: weight for name, weight in (table | comfy_text(names)).items() if weight in names}


def comfy_levels(own: list[str]) -> list[tuple[str, str]]:
    """Pairs of names of all blocks; each down block has a place for its downsampler, each up block one layer more."""
    pairs: list[tuple[str, str]] = []

    def resnet(ours: str, theirs: str) -> None:
        pairs.extend((f"{ours}.{one}", f"{theirs}.{other}") for one, other in RESNET.items())

    def attention(ours: str, theirs: str) -> bool:
        pairs.extend((f"{ours}.{each}", f"{theirs}.{each}") for each in ATTENTION)
        depth = len({name.split(".")[4] for name in own if name.startswith(f"{theirs}.transformer_blocks.")})
        if theirs.startswith("middle"):
            depth = len({name.split(".")[3] for name in own if name.startswith(f"{theirs}.transformer_blocks.")})
        for block in range(depth):
            inner = [f"transformer_blocks.{block}.{each}" for each in BLOCK]
            pairs.extend((f"{ours}.{each}", f"{theirs}.{each}") for each in inner)
        return depth > 0

    levels = (max(int(name.split(".")[1]) for name in own if name.startswith("output_blocks.")) + 1) // 3
    for level in range(levels):
        for layer in range(2):
            place = f"input_blocks.{1 + 3 * level + layer}"
            resnet(f"down_blocks.{level}.resnets.{layer}", f"{place}.0")
            attention(f"down_blocks.{level}.attentions.{layer}", f"{place}.1")
        pairs.append((f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{3 + 3 * level}.0.op"))
        for layer in range(3):
            place = f"output_blocks.{3 * level + layer}"
            resnet(f"up_blocks.{level}.resnets.{layer}", f"{place}.0")
            after = 2 if attention(f"up_blocks.{level}.attentions.{layer}", f"{place}.1") else 1
        pairs.append((f"up_blocks.{level}.upsamplers.0.conv", f"{place}.{after}.conv"))
    for number in (0, 1):
        resnet(f"mid_block.resnets.{number}", f"middle_block.{2 * number}")
    attention("mid_block.attentions.0", "middle_block.1")
    return pairs


def comfy_text(names: set[str]) -> Table:
    """ComfyUI: six layers of each block of a text encoder; OpenCLIP's are turned into transformers' on loading."""
    table: dict[str, str] = {}
    encoders = {
        "cond_stage_model.transformer.": ("lora_te",),
        "cond_stage_model.model.": ("lora_te",),
        "conditioner.embedders.0.transformer.": ("lora_te1", "lora_te"),
        "conditioner.embedders.1.model.": ("lora_te2",),
    }
    for prefix, short in encoders.items():
        for block in range(32):
            for layer in TEXT:
                weight = text_weight(prefix, block, layer)
                keys = [f"{each}_text_model_encoder_layers_{block}_{flat(layer)}" for each in short]
                table |= dict.fromkeys(keys, weight) if weight in names else {}
    return table


def text_weight(prefix: str, block: int, layer: str) -> str:
    """The weight that holds a layer: OpenCLIP has queries, keys and values in one."""
    if not prefix.endswith("model."):
        return f"{prefix}text_model.encoder.layers.{block}.{layer}.weight"
    one = "attn.in_proj_weight" if layer.endswith(("q_proj", "k_proj", "v_proj")) else f"{OPENCLIP[layer]}.weight"
    return f"{prefix}transformer.resblocks.{block}.{one}"


A1111: list[tuple[str, Callable[[re.Match[str]], str]]] = [
    (r"lora_unet_conv_in", lambda _: "input_blocks_0_0"),
    (r"lora_unet_conv_out", lambda _: "out_2"),
    (r"lora_unet_time_embedding_linear_(\d+)", lambda m: f"time_embed_{2 * int(m[1]) - 2}"),
    (r"lora_unet_down_blocks_(\d+)_(attentions|resnets)_(\d+)_(.+)", lambda m: a1111_place("input", m)),
    (r"lora_unet_mid_block_attentions_(\d+)_(.+)", lambda m: f"middle_block_1_{m[2]}"),
    (r"lora_unet_mid_block_resnets_(\d+)_(.+)", lambda m: f"middle_block_{2 * int(m[1])}_{a1111_inner(m[2])}"),
    (r"lora_unet_up_blocks_(\d+)_(attentions|resnets)_(\d+)_(.+)", lambda m: a1111_place("output", m)),
    (r"lora_unet_down_blocks_(\d+)_downsamplers_0_conv", lambda m: f"input_blocks_{3 + 3 * int(m[1])}_0_op"),
    (
        r"lora_unet_up_blocks_(\d+)_upsamplers_0_conv",
        lambda m: f"output_blocks_{2 + 3 * int(m[1])}_{2 if int(m[1]) else 1}_conv",
    ),
]
"""A1111: the first rule that fits a name, and what it is called in the original layout, dots as bars."""

UNREAD_IN_A1111 = {"add_embedding_linear_1", "add_embedding_linear_2", "up_blocks_0_upsamplers_0_conv"}
"""Layers of SDXL that its rules lead nowhere; docs/elsewhere.md names them."""


def a1111_place(side: str, match: re.Match[str]) -> str:
    level, kind, layer, inner = int(match[1]), match[2], int(match[3]), match[4]
    place = 3 * level + layer + (side == "input")
    return f"{side}_blocks_{place}_{f'1_{inner}' if kind == 'attentions' else f'0_{a1111_inner(inner)}'}"


def a1111_inner(name: str) -> str:
    return flat(RESNET.get(name, name))


def a1111_table(names: set[str], layers: list[str]) -> Table:
    """A1111: the model's names with bars, in which the rules look a layer up."""
    flat_names = {flat(name.removeprefix(UNET).removesuffix(".weight")): name for name in names if UNET in name}
    table = {}
    for layer in layers:
        for pattern, rename in A1111:
            if match := re.fullmatch(pattern, layer):
                table[layer] = flat_names.get(rename(match), "")
                break
    return {**table, **{name: weight for name, weight in comfy_text(names).items() if name in layers}}


def exported(make: Callable[..., Any], path: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A LoRA of every layer that one can hold, as kohya's names have it; and the change by the original's names."""
    model = Model(make(whole=True))
    layers = [
        f"{part}.{name}.weight"
        for part, network in model.components.items()
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and part != "vae"
    ]
    edit = made_up(model, names=tuple(each for each in layers if not each.endswith("text_projection.weight")))
    before = {name: weight.clone() for name, weight in original_weights(model).items()}
    with edit.on(model):
        changes = {name: weight - before[name] for name, weight in original_weights(model).items()}
    LoRA.from_edits(model, [edit], rank=64).save(path, "kohya")
    return load_file(path), changes


def check_products(table: Table, lora: Mapping[str, torch.Tensor], changes: Mapping[str, torch.Tensor]) -> None:
    for layer, weight in table.items():
        up, down = lora[f"{layer}.lora_up.weight"], lora[f"{layer}.lora_down.weight"]
        product = (up.flatten(1) @ down.flatten(1)) * (lora[f"{layer}.alpha"] / len(down))
        change = changes[weight]
        if weight.endswith("in_proj_weight"):
            third = ("q_proj", "k_proj", "v_proj").index(layer[-6:])
            change = change.chunk(3)[third]
        assert torch.allclose(product, change.flatten(1), atol=1e-5), layer


@pytest.mark.parametrize("make", [tiny_sd1, tiny_sd2_v, tiny_sdxl])
def test_comfyui_has_a_place_for_every_layer_of_a_lora_and_it_is_the_right_one(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    lora, changes = exported(make, tmp_path / "lora.safetensors")
    layers = {name.partition(".")[0] for name in lora}
    table = comfy_table(set(changes))
    assert layers - set(table) == set()
    check_products({name: table[name] for name in layers}, lora, changes)


@pytest.mark.parametrize(
    ("make", "unread"),
    [(tiny_sd1, set()), (tiny_sd2_v, set()), (tiny_sdxl, UNREAD_IN_A1111)],
)
def test_a1111_has_a_place_for_every_layer_of_a_lora_and_it_is_the_right_one(
    make: Callable[..., Any], unread: set[str], tmp_path: Path
) -> None:
    lora, changes = exported(make, tmp_path / "lora.safetensors")
    layers = sorted({name.partition(".")[0] for name in lora})
    table = {layer: weight for layer, weight in a1111_table(set(changes), layers).items() if weight}
    assert {layer.removeprefix("lora_unet_") for layer in layers if layer not in table} == unread
    check_products(table, lora, changes)
