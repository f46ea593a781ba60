"""A LoRA or a file of weights that says one layer twice, or no number, is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from turpentine.core.errors import EditError
from turpentine.edits import import_edit
from turpentine.models import Model

LAYER = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
KOHYA = "lora_unet_" + LAYER.replace(".", "_")
UNET = {f"unet.{LAYER}.lora_A.weight": torch.ones(2, 16), f"unet.{LAYER}.lora_B.weight": torch.ones(16, 2)}
PEFT = {f"base_model.model.{LAYER}.lora_A.weight": torch.ones(2, 16)} | {
    f"base_model.model.{LAYER}.lora_B.weight": torch.ones(16, 2)
}


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({**UNET, f"unet.{LAYER}.lora_down.weight": torch.ones(2, 16)}, "has the layer .* twice"),
        (
            {**UNET, f"{KOHYA}.lora_down.weight": torch.ones(2, 16), f"{KOHYA}.lora_up.weight": torch.ones(16, 2)},
            "twice, under two names",
        ),
        ({name: tensor.to(torch.int8) for name, tensor in UNET.items()}, "holds torch.int8"),
        ({f"{LAYER}.weight": torch.ones(16, 16), f"unet.{LAYER}.weight": torch.zeros(16, 16)}, "under two names"),
    ],
)
def test_what_is_there_twice_or_is_no_number_is_refused(
    sd1: Model, tmp_path: Path, tensors: dict[str, Tensor], sentence: str
) -> None:
    save_file(tensors, tmp_path / "one.safetensors")
    with pytest.raises(EditError, match=sentence):
        import_edit(tmp_path / "one.safetensors", sd1)


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"r": 8}, "says rank 8 for .*, whose factors have 2"),
        ({"rank_pattern": {"to_k": 4}}, "says rank 4"),
        ({"use_rslora": "false"}, "no yes or no"),
        ({"lora_alpha": "4"}, "no number"),
        ({"lora_alpha": True}, "no number"),
        ({"alpha_pattern": {"to_k": "8"}}, "no number"),
    ],
)
def test_a_record_that_does_not_fit_its_factors_is_refused(
    sd1: Model, tmp_path: Path, record: dict[str, Any], sentence: str
) -> None:
    save_file(PEFT, tmp_path / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, **record}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(EditError, match=sentence):
        import_edit(tmp_path, sd1)
