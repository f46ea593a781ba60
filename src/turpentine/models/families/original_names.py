"""The names that the original Stable Diffusion gave its modules; single files and many LoRAs use them.

diffusers has converters of whole state dicts, which are private, change between releases, and lead one way only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from turpentine.core.errors import EditError

_UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "mid_block.attentions.0": "middle_block.1",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE = {
    "quant_conv": "quant_conv",
    "post_quant_conv": "post_quant_conv",
    **{f"{half}.{end}": f"{half}.{end}" for half in ("encoder", "decoder") for end in ("conv_in", "conv_out")},
    **{f"{half}.conv_norm_out": f"{half}.norm_out" for half in ("encoder", "decoder")},
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {
    "embeddings.token_embedding": "token_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
    "text_projection.weight": "text_projection",
}
_OPEN_CLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def unet_modules(unet: Any) -> dict[str, str]:
    """Map the paths of a UNet's modules in diffusers to those in the original, which numbers blocks throughout."""
    names = dict(_UNET)
    for layer in range(2):
        names |= _resnet(f"mid_block.resnets.{layer}", f"middle_block.{2 * layer}")
    place = count(1)
    for index, block in enumerate(unet.down_blocks):
        _add_layers(names, f"down_blocks.{index}", block, "input_blocks", place)
        if block.downsamplers:
            names[f"down_blocks.{index}.downsamplers.0.conv"] = f"input_blocks.{next(place)}.0.op"
    place = count(0)
    for index, block in enumerate(unet.up_blocks):
        last, attends = _add_layers(names, f"up_blocks.{index}", block, "output_blocks", place)
        if block.upsamplers:
            names[f"up_blocks.{index}.upsamplers.0.conv"] = f"output_blocks.{last}.{1 + attends}.conv"
    return names


def vae_modules(vae: Any) -> dict[str, str]:
    """Map the paths of an autoencoder's modules in diffusers to the original's, where level 0 is the image's size."""
    levels = range(len(vae.config.block_out_channels))
    return {
        **_VAE,
        **_vae_half("encoder", "down", vae.encoder.down_blocks, levels),
        **_vae_half("decoder", "up", vae.decoder.up_blocks, reversed(levels)),
    }


def open_clip_modules(layers: int) -> dict[str, str]:
    """Map the paths in a CLIP text encoder to OpenCLIP's, except queries, keys and values, which OpenCLIP fuses."""
    names = dict(_OPEN_CLIP)
    for layer in range(layers):
        names |= _inside(f"encoder.layers.{layer}", f"transformer.resblocks.{layer}", _OPEN_CLIP_LAYER)
    return names


def renamed(name: str, modules: Mapping[str, str]) -> str:
    """Return a weight's name with its longest prefix that is in the table replaced.

    Raises:
        EditError: No prefix of the name is in the table.

    Example:
        >>> renamed("conv_in.weight", {"conv_in": "input_blocks.0.0"})
        'input_blocks.0.0.weight'
    """
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = modules.get(".".join(parts[:end]))
        if path is not None:
            return ".".join([path, *parts[end:]])
    raise EditError(f"The weight {name} has no name in the original layout: write a diffusers folder instead.")


def _add_layers(names: dict[str, str], path: str, block: Any, blocks: str, place: count[int]) -> tuple[int, bool]:
    """Add a block's resnets and attentions; return the last resnet's number, and whether the block has attention."""
    attends = bool(getattr(block, "attentions", None))
    for layer in range(len(block.resnets)):
        at = next(place)
        names |= _resnet(f"{path}.resnets.{layer}", f"{blocks}.{at}.0")
        if attends:
            names[f"{path}.attentions.{layer}"] = f"{blocks}.{at}.1"
    return at, attends


def _resnet(path: str, place: str) -> dict[str, str]:
    return _inside(path, place, _RESNET)


def _vae_half(half: str, way: str, blocks: Any, levels: Iterable[int]) -> dict[str, str]:
    names = _inside(f"{half}.mid_block.attentions.0", f"{half}.mid.attn_1", _VAE_ATTENTION)
    for layer in range(2):
        names |= _vae_resnet(f"{half}.mid_block.resnets.{layer}", f"{half}.mid.block_{layer + 1}")
    for index, (block, level) in enumerate(zip(blocks, levels, strict=True)):
        path, place = f"{half}.{way}_blocks.{index}", f"{half}.{way}.{level}"
        for layer in range(len(block.resnets)):
            names |= _vae_resnet(f"{path}.resnets.{layer}", f"{place}.block.{layer}")
        names[f"{path}.{way}samplers.0"] = f"{place}.{way}sample"
    return names


def _vae_resnet(path: str, place: str) -> dict[str, str]:
    return {path: place, f"{path}.conv_shortcut": f"{place}.nin_shortcut"}


def _inside(path: str, place: str, layers: Mapping[str, str]) -> dict[str, str]:
    return {f"{path}.{ours}": f"{place}.{theirs}" for ours, theirs in layers.items()}
