"""A pipeline's weights under the names that the original Stable Diffusion gave them, as single files hold them."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "conv_in.": "input_blocks.0.0.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
}
_VAE = {
    "mid_block.resnets.0.": "mid.block_1.",
    "mid_block.resnets.1.": "mid.block_2.",
    "mid_block.attentions.0.": "mid.attn_1.",
    "group_norm.": "norm.",
    "to_q.": "q.",
    "to_k.": "k.",
    "to_v.": "v.",
    "to_out.0.": "proj_out.",
    "conv_norm_out.": "norm_out.",
    "conv_shortcut.": "nin_shortcut.",
    "downsamplers.0.": "downsample.",
    "upsamplers.0.": "upsample.",
}


def single_file(pipeline: Any) -> dict[str, Tensor]:
    """The weights of a Stable Diffusion 1 pipeline in the original layout."""
    text = pipeline.text_encoder
    text = getattr(text, "text_model", text)
    parts = {
        "model.diffusion_model.": (pipeline.unet, _unet_name),
        "first_stage_model.": (pipeline.vae, lambda name: _vae_name(name, len(pipeline.vae.config.block_out_channels))),
        "cond_stage_model.transformer.text_model.": (text, lambda name: name),
    }
    return {
        prefix + rename(name): weight.detach().clone().contiguous()
        for prefix, (module, rename) in parts.items()
        for name, weight in module.state_dict().items()
    }


def _unet_name(name: str) -> str:
    for ours, theirs in _ENDS.items():
        if name.startswith(ours):
            return name.replace(ours, theirs)
    for ours, theirs in _RESNET.items():
        name = re.sub(rf"(resnets\.\d+)\.{ours}\.", rf"\1.{theirs}.", name)
    name = re.sub(r"^(down_blocks|mid_block|up_blocks)(?:\.(\d+))?\.(\w+)\.(\d+)", _block, name)
    return name.replace(".down.conv.", ".op.")


def _block(match: re.Match[str]) -> str:
    """With two layers a block, down blocks take three places each in one long list, and so do up blocks."""
    stage, block, kind, layer = match[1], int(match[2] or 0), match[3], int(match[4])
    if stage == "mid_block":
        return f"middle_block.{1 if kind == 'attentions' else 2 * layer}"
    if kind == "downsamplers":
        return f"input_blocks.{3 * block + 3}.0.down"
    if kind == "upsamplers":
        return f"output_blocks.{3 * block + 2}.{1 if block == 0 else 2}"
    place = f"input_blocks.{3 * block + 1 + layer}" if stage == "down_blocks" else f"output_blocks.{3 * block + layer}"
    return f"{place}.{1 if kind == 'attentions' else 0}"


def _vae_name(name: str, levels: int) -> str:
    name = re.sub(r"up_blocks\.(\d+)", lambda match: f"up.{levels - 1 - int(match[1])}", name)
    name = re.sub(r"down_blocks\.(\d+)", r"down.\1", name)
    for ours, theirs in _VAE.items():
        name = name.replace(ours, theirs)
    return re.sub(r"resnets\.(\d+)", r"block.\1", name)
