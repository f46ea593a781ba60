"""Where a model's sites are: a walk through its UNet and text encoders in order of execution.

Cross-attention modules carry the labels that papers and this package use. A UNet of Stable Diffusion 1.x or 2.x has 16:
DOWN1 to DOWN6, MID, UP1 to UP9. Where blocks hold several transformer blocks, each has a label of its own: SDXL has 70,
DOWN1 to DOWN24 (1-4 in the second block, 5-24 in the third), MID1 to MID10, UP1 to UP36 (1-30 in the first, 31-36 in
the second). Labels count in order of execution, so a higher DOWN is deeper and a higher UP is nearer to the output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from torch import nn

from turpentine.models.sites import DENOISER, Level, Site, Sites

KINDS = {
    "cross-attention": "attends to the text (attn2)",
    "self-attention": "attends to the picture (attn1)",
    "feed-forward": "the GEGLU network of a transformer block",
    "resnet": "a residual block, its time projection included",
    "projection": "into and out of a transformer",
    "sampler": "halves or doubles the resolution",
    "norm": "a normalisation",
    "input": "the first convolution (conv_in)",
    "output": "the last convolution (conv_out)",
    "time": "the embedding of the timestep, and of SDXL's pooled text and sizes",
    "text-attention": "self-attention in a text encoder",
    "text-mlp": "the two-layer network in a text encoder",
    "text-embedding": "token and position embeddings",
    "text-norm": "a normalisation in a text encoder",
    "text-projection": "the projection of the pooled text",
}

_NORMS = (nn.LayerNorm, nn.GroupNorm)
_ROLES = {
    **{f"to_{letter}": role for letter, role in (("q", "query"), ("k", "key"), ("v", "value"))},
    **{f"{letter}_proj": role for letter, role in (("q", "query"), ("k", "key"), ("v", "value"))},
    "0": "output",  # of `to_out`
    "out_proj": "output",
}


@dataclass(frozen=True)
class _Part:
    """A module on the walk: a whole with layers inside, or a lone layer."""

    path: str
    module: nn.Module
    kind: str
    resolution: int = 0
    label: str = ""


_MODULE = re.compile(r"(.*?\.(?:attn[12]|ff|resnets\.\d+|(?:down|up)samplers\.\d+|self_attn|mlp))\..*")


def module_of(parameter: str) -> str:
    """Return the module that a weight or bias is in by its dotted name, where no model is at hand: else its layer.

    Example:
        >>> module_of("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight")
        'unet.mid_block.attentions.0.transformer_blocks.0.attn2'
    """
    match = _MODULE.fullmatch(parameter)
    return match[1] if match else parameter.rpartition(".")[0]


def find_sites(unet: Any, text_encoders: Mapping[str, Any]) -> Sites:
    """Return all sites of a UNet and of text encoders, these first, in order of execution.

    Args:
        unet: diffusers' UNet; its names begin with `unet`.
        text_encoders: CLIP text encoders by the component of their sites; their names begin with `text_encoder`, and
            from the second on with a number: `text_encoder_2`.
    """
    sites: list[Site] = []
    for number, (component, encoder) in enumerate(text_encoders.items(), start=1):
        name, prefix = ("text_encoder", "TEXT") if number == 1 else (f"text_encoder_{number}", f"TEXT{number}-")
        sites += [site for part in _walk_text(encoder, name, prefix) for site in _sites_of(part, component)]
    sites += [site for part in _walk_unet(unet) for site in _sites_of(part, DENOISER)]
    return Sites.all_of(sites)


def _sites_of(part: _Part, component: str) -> Iterator[Site]:
    layers = list(_layers(part))
    if any(layer.module is not part.module for layer in layers):
        yield _site(part, "module", component)
    for layer in layers:
        yield _site(layer, "layer", component)


def _layers(part: _Part) -> Iterator[_Part]:
    """Yield the modules inside that hold weights themselves; a norm inside a block is of the kind norm."""
    # CLIP's attention registers k, v and q, and runs q, k and v.
    modules = sorted(part.module.named_modules(prefix=part.path), key=lambda item: not item[0].endswith(".q_proj"))
    for path, module in modules:
        if next(module.parameters(recurse=False), None) is not None:
            norm = "text-norm" if part.kind.startswith("text-") else "norm"
            yield replace(part, path=path, module=module, kind=norm if isinstance(module, _NORMS) else part.kind)


def _site(part: _Part, level: Level, component: str) -> Site:
    names = tuple(name for name, _ in part.module.named_parameters(prefix=part.path))
    role = _ROLES.get(part.path.rpartition(".")[2], "") if level == "layer" and part.kind.endswith("-attention") else ""
    return Site(part.path, part.kind, part.label, part.resolution, level, names, component, role)


def _walk_unet(unet: Any) -> Iterator[_Part]:
    sizes = _resolutions(unet)
    for name in ("time_embedding", "add_embedding"):
        if isinstance(getattr(unet, name, None), nn.Module):
            yield _Part(f"unet.{name}", getattr(unet, name), "time")
    yield _Part("unet.conv_in", unet.conv_in, "input", sizes[0])
    yield from _walk_blocks(unet.down_blocks, "unet.down_blocks", sizes, (f"DOWN{n}" for n in count(1)))
    yield from _walk_middle(unet.mid_block, sizes[-1])
    yield from _walk_blocks(unet.up_blocks, "unet.up_blocks", sizes[::-1], (f"UP{n}" for n in count(1)))
    yield _Part("unet.conv_norm_out", unet.conv_norm_out, "norm", sizes[0])
    yield _Part("unet.conv_out", unet.conv_out, "output", sizes[0])


def _resolutions(unet: Any) -> list[int]:
    """Return the picture's height in each down block, in latent pixels; an odd height is halved upwards."""
    size = unet.config.sample_size
    heights = [size if isinstance(size, int) else size[0]]
    for block in list(unet.down_blocks)[:-1]:
        heights.append(-(-heights[-1] // 2) if block.downsamplers else heights[-1])
    return heights


def _walk_blocks(blocks: Any, path: str, sizes: list[int], labels: Iterator[str]) -> Iterator[_Part]:
    for index, (block, size) in enumerate(zip(blocks, sizes, strict=True)):
        yield from _walk_block(block, f"{path}.{index}", size, labels)


def _walk_block(block: Any, path: str, size: int, labels: Iterator[str]) -> Iterator[_Part]:
    """Yield each resnet, then its attention if the block has any; at the end the step to the next resolution."""
    attentions = getattr(block, "attentions", None) or []
    for index, resnet in enumerate(block.resnets):
        yield _Part(f"{path}.resnets.{index}", resnet, "resnet", size)
        if index < len(attentions):
            yield from _walk_transformer(attentions[index], f"{path}.attentions.{index}", size, labels)
    for name in ("downsamplers", "upsamplers"):
        for index, sampler in enumerate(getattr(block, name, None) or []):
            yield _Part(f"{path}.{name}.{index}", sampler, "sampler", size)


def _walk_middle(block: Any, size: int) -> Iterator[_Part]:
    """Yield one resnet, then pairs of an attention and a resnet. Some small models have no middle."""
    if block is None:
        return
    path = "unet.mid_block"
    depth = sum(len(attention.transformer_blocks) for attention in block.attentions)
    labels = iter(["MID"] if depth == 1 else [f"MID{n + 1}" for n in range(depth)])
    yield _Part(f"{path}.resnets.0", block.resnets[0], "resnet", size)
    for index, attention in enumerate(block.attentions):
        yield from _walk_transformer(attention, f"{path}.attentions.{index}", size, labels)
        yield _Part(f"{path}.resnets.{index + 1}", block.resnets[index + 1], "resnet", size)


def _walk_transformer(transformer: Any, path: str, size: int, labels: Iterator[str]) -> Iterator[_Part]:
    yield _Part(f"{path}.norm", transformer.norm, "norm", size)
    yield _Part(f"{path}.proj_in", transformer.proj_in, "projection", size)
    for index, block in enumerate(transformer.transformer_blocks):
        yield from _walk_transformer_block(block, f"{path}.transformer_blocks.{index}", size, next(labels))
    yield _Part(f"{path}.proj_out", transformer.proj_out, "projection", size)


_IN_A_BLOCK = (
    ("norm1", "norm"),
    ("attn1", "self-attention"),
    ("norm2", "norm"),
    ("attn2", "cross-attention"),
    ("norm3", "norm"),
    ("ff", "feed-forward"),
)


def _walk_transformer_block(block: nn.Module, path: str, size: int, label: str) -> Iterator[_Part]:
    for name, kind in _IN_A_BLOCK:
        yield _Part(f"{path}.{name}", getattr(block, name), kind, size, label)


def _walk_text(encoder: Any, path: str, prefix: str) -> Iterator[_Part]:
    """A CLIP text encoder; transformers put it in a `text_model` up to version 4, and still does with a projection."""
    inner, inside = (encoder.text_model, f"{path}.text_model") if hasattr(encoder, "text_model") else (encoder, path)
    yield _Part(f"{inside}.embeddings", inner.embeddings, "text-embedding")
    for index, layer in enumerate(inner.encoder.layers):
        yield from _walk_text_layer(layer, f"{inside}.encoder.layers.{index}", f"{prefix}{index + 1}")
    yield _Part(f"{inside}.final_layer_norm", inner.final_layer_norm, "text-norm")
    if hasattr(encoder, "text_projection"):
        yield _Part(f"{path}.text_projection", encoder.text_projection, "text-projection")


_IN_A_TEXT_LAYER = (
    ("layer_norm1", "text-norm"),
    ("self_attn", "text-attention"),
    ("layer_norm2", "text-norm"),
    ("mlp", "text-mlp"),
)


def _walk_text_layer(layer: nn.Module, path: str, label: str) -> Iterator[_Part]:
    for name, kind in _IN_A_TEXT_LAYER:
        yield _Part(f"{path}.{name}", getattr(layer, name), kind, 0, label)
