"""Where a model's sites are: a walk through its UNet and text encoders in order of execution.

Cross-attention modules carry the labels that papers and this package use. A UNet of Stable Diffusion 1.x or 2.x has 16:
DOWN1 to DOWN6, MID, UP1 to UP9. Where blocks hold several transformer blocks, each has a label of its own: SDXL has 70,
DOWN1 to DOWN24 (1-4 in the second block, 5-24 in the third), MID1 to MID10, UP1 to UP36 (1-30 in the first, 31-36 in
the second). Labels count in order of execution, so a higher DOWN is deeper and a higher UP is nearer to the output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from torch import nn

from turpentine.models.families.text_sites import text_sites
from turpentine.models.families.walk import KINDS, Part, sites_on
from turpentine.models.sites import Sites

__all__ = ["KINDS", "find_sites"]


def find_sites(unet: Any, text_encoders: Mapping[str, Any]) -> Sites:
    """Return all sites of a UNet and of text encoders, these first, in order of execution.

    Args:
        unet: diffusers' UNet; its names begin with `unet`.
        text_encoders: CLIP text encoders by the component of their sites; see `text_sites`.
    """
    return Sites.all_of([*text_sites(text_encoders), *sites_on(_walk_unet(unet))])


def _walk_unet(unet: Any) -> Iterator[Part]:
    sizes = _resolutions(unet)
    for name in ("time_embedding", "add_embedding"):
        if isinstance(getattr(unet, name, None), nn.Module):
            yield Part(f"unet.{name}", getattr(unet, name), "time")
    yield Part("unet.conv_in", unet.conv_in, "input", sizes[0])
    yield from _walk_blocks(unet.down_blocks, "unet.down_blocks", sizes, (f"DOWN{n}" for n in count(1)))
    yield from _walk_middle(unet.mid_block, sizes[-1])
    yield from _walk_blocks(unet.up_blocks, "unet.up_blocks", sizes[::-1], (f"UP{n}" for n in count(1)))
    yield Part("unet.conv_norm_out", unet.conv_norm_out, "norm", sizes[0])
    yield Part("unet.conv_out", unet.conv_out, "output", sizes[0])


def _resolutions(unet: Any) -> list[int]:
    """Return the picture's height in each down block, in latent pixels; an odd height is halved upwards."""
    size = unet.config.sample_size
    heights = [size if isinstance(size, int) else size[0]]
    for block in list(unet.down_blocks)[:-1]:
        heights.append(-(-heights[-1] // 2) if block.downsamplers else heights[-1])
    return heights


def _walk_blocks(blocks: Any, path: str, sizes: list[int], labels: Iterator[str]) -> Iterator[Part]:
    for index, (block, size) in enumerate(zip(blocks, sizes, strict=True)):
        yield from _walk_block(block, f"{path}.{index}", size, labels)


def _walk_block(block: Any, path: str, size: int, labels: Iterator[str]) -> Iterator[Part]:
    """Yield each resnet, then its attention if the block has any; at the end the step to the next resolution."""
    attentions = getattr(block, "attentions", None) or []
    for index, resnet in enumerate(block.resnets):
        yield Part(f"{path}.resnets.{index}", resnet, "resnet", size)
        if index < len(attentions):
            yield from _walk_transformer(attentions[index], f"{path}.attentions.{index}", size, labels)
    for name in ("downsamplers", "upsamplers"):
        for index, sampler in enumerate(getattr(block, name, None) or []):
            yield Part(f"{path}.{name}.{index}", sampler, "sampler", size)


def _walk_middle(block: Any, size: int) -> Iterator[Part]:
    """Yield one resnet, then pairs of an attention and a resnet. Some small models have no middle."""
    if block is None:
        return
    path = "unet.mid_block"
    depth = sum(len(attention.transformer_blocks) for attention in block.attentions)
    labels = iter(["MID"] if depth == 1 else [f"MID{n + 1}" for n in range(depth)])
    yield Part(f"{path}.resnets.0", block.resnets[0], "resnet", size)
    for index, attention in enumerate(block.attentions):
        yield from _walk_transformer(attention, f"{path}.attentions.{index}", size, labels)
        yield Part(f"{path}.resnets.{index + 1}", block.resnets[index + 1], "resnet", size)


def _walk_transformer(transformer: Any, path: str, size: int, labels: Iterator[str]) -> Iterator[Part]:
    yield Part(f"{path}.norm", transformer.norm, "norm", size)
    yield Part(f"{path}.proj_in", transformer.proj_in, "projection", size)
    for index, block in enumerate(transformer.transformer_blocks):
        yield from _walk_transformer_block(block, f"{path}.transformer_blocks.{index}", size, next(labels))
    yield Part(f"{path}.proj_out", transformer.proj_out, "projection", size)


_IN_A_BLOCK = (
    ("norm1", "norm"),
    ("attn1", "self-attention"),
    ("norm2", "norm"),
    ("attn2", "cross-attention"),
    ("norm3", "norm"),
    ("ff", "feed-forward"),
)


def _walk_transformer_block(block: nn.Module, path: str, size: int, label: str) -> Iterator[Part]:
    for name, kind in _IN_A_BLOCK:
        yield Part(f"{path}.{name}", getattr(block, name), kind, size, label)
