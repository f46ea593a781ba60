"""LoRAs as tensors in memory: names of every layout come to the same layer, and α scales the product."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from turpentine.core.errors import EditError, WrongBase
from turpentine.edits.formats.lora_file import is_lora, lora_deltas
from turpentine.models import Model

LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
PATH = LAYER.removeprefix("unet.")
RANK = 2


def factors(model: Model) -> tuple[Tensor, Tensor]:
    out, width = model.parameter(f"{LAYER}.weight").shape
    generator = torch.Generator().manual_seed(0)
    return torch.randn(RANK, width, generator=generator), torch.randn(out, RANK, generator=generator)


@pytest.mark.parametrize(
    ("down_name", "up_name"),
    [
        (f"unet.{PATH}.lora_A.weight", f"unet.{PATH}.lora_B.weight"),
        (f"{PATH}.lora.down.weight", f"{PATH}.lora.up.weight"),
        (f"base_model.model.{PATH}.lora_A.default.weight", f"base_model.model.{PATH}.lora_B.default.weight"),
        (
            "lora_unet_" + PATH.replace(".", "_") + ".lora_down.weight",
            "lora_unet_" + PATH.replace(".", "_") + ".lora_up.weight",
        ),
        (
            "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k.lora_down.weight",
            "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k.lora_up.weight",
        ),
    ],
    ids=["diffusers", "old diffusers", "PEFT", "kohya", "kohya, original names"],
)
def test_names_of_every_layout_are_the_same_layer(sd1: Model, down_name: str, up_name: str) -> None:
    down, up = factors(sd1)
    assert is_lora([down_name, up_name])
    deltas = lora_deltas({down_name: down, up_name: up}, {}, sd1)
    assert list(deltas) == [f"{LAYER}.weight"]
    torch.testing.assert_close(deltas[f"{LAYER}.weight"], up @ down)


@pytest.mark.parametrize(
    ("record", "scale"),
    [
        ({"lora_alpha": 6}, 6 / RANK),
        ({"lora_alpha": 6, "use_rslora": True}, 6 / math.sqrt(RANK)),
        ({"lora_alpha": 6, "alpha_pattern": {"attn2.to_k": 3}}, 3 / RANK),
        ({}, 1.0),
    ],
)
def test_alpha_is_read_from_the_record(sd1: Model, record: dict[str, object], scale: float) -> None:
    down, up = factors(sd1)
    tensors = {f"{LAYER}.lora_A.weight": down, f"{LAYER}.lora_B.weight": up}
    metadata = {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in record.items()})}
    torch.testing.assert_close(lora_deltas(tensors, metadata, sd1)[f"{LAYER}.weight"], scale * (up @ down))


def test_the_files_own_alpha_comes_first(sd1: Model) -> None:
    down, up = factors(sd1)
    name = "lora_unet_" + PATH.replace(".", "_")
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(1.0)}
    torch.testing.assert_close(lora_deltas(tensors, {}, sd1)[f"{LAYER}.weight"], 0.5 * (up @ down))


def test_what_is_no_plain_lora_is_refused(sd1: Model) -> None:
    down, up = factors(sd1)
    with pytest.raises(EditError, match="is of no plain LoRA"):
        lora_deltas({f"{LAYER}.hada_w1_a": down}, {}, sd1)
    with pytest.raises(EditError, match="one of the two factors"):
        lora_deltas({f"{LAYER}.lora_A.weight": down}, {}, sd1)
    metadata = {"lora_adapter_metadata": json.dumps({"unet.alpha_pattern": {".*to_k": 3}})}
    with pytest.raises(EditError, match="by patterns"):
        lora_deltas({f"{LAYER}.lora_A.weight": down, f"{LAYER}.lora_B.weight": up}, metadata, sd1)


def test_a_layer_of_another_model_is_refused(sd1: Model) -> None:
    down, up = factors(sd1)
    with pytest.raises(WrongBase, match="has no such layer"):
        lora_deltas({"unet.elsewhere.lora_A.weight": down, "unet.elsewhere.lora_B.weight": up}, {}, sd1)
    with pytest.raises(WrongBase, match="its factors of"):
        lora_deltas({f"{LAYER}.lora_A.weight": down[:, 1:], f"{LAYER}.lora_B.weight": up}, {}, sd1)


def test_full_weights_are_no_lora() -> None:
    assert not is_lora([f"{LAYER}.weight", "unet.conv_in.bias"])
