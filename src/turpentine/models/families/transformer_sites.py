"""Where the sites of a transformer's denoiser are: walks in order of execution.

Each block has a label, BLOCK1 at the noisy latent to the last at the prediction. All blocks are of one resolution, that
of the latent in tokens. In a joint block (Stable Diffusion 3) `attn` is the attention of picture and text to both, and
`attn2`, which some blocks of 3.5-medium have, that of the picture to itself, whatever its name says elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from turpentine.models.families.walk import Part
from turpentine.models.sites import Sites

_IN_A_JOINT_BLOCK = (
    ("norm1", "modulation"),
    ("norm1_context", "modulation"),
    ("attn", "joint-attention"),
    ("attn2", "self-attention"),
    ("ff", "feed-forward"),
    ("ff_context", "feed-forward"),
)


def walk_joint(transformer: Any) -> Iterator[Part]:
    """Yield the parts of diffusers' transformer of Stable Diffusion 3; its names begin with `transformer`."""
    size = transformer.config.sample_size // transformer.config.patch_size
    yield Part("transformer.pos_embed", transformer.pos_embed, "input", size)
    inside = transformer.time_text_embed
    yield Part("transformer.time_text_embed.timestep_embedder", inside.timestep_embedder, "time")
    yield Part("transformer.time_text_embed.text_embedder", inside.text_embedder, "context")
    yield Part("transformer.context_embedder", transformer.context_embedder, "context")
    for index, block in enumerate(transformer.transformer_blocks):
        for name, kind in _IN_A_JOINT_BLOCK:
            if getattr(block, name, None) is not None:
                path = f"transformer.transformer_blocks.{index}.{name}"
                yield Part(path, getattr(block, name), kind, size, f"BLOCK{index + 1}")
    yield Part("transformer.norm_out", transformer.norm_out, "modulation", size)
    yield Part("transformer.proj_out", transformer.proj_out, "output", size)


_FLUX_ORDER = (
    *("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"),
    *("norm_q", "norm_k", "norm_added_q", "norm_added_k", "to_out.0", "to_add_out"),
)
_IN_A_SINGLE_BLOCK = (
    ("norm", "modulation"),
    ("proj_mlp", "feed-forward"),
    ("attn", "joint-attention"),
    ("proj_out", "projection"),
)


def walk_flux(transformer: Any, size: int) -> Iterator[Part]:
    """Yield the parts of diffusers' transformer of FLUX.1; its names begin with `transformer`.

    Its double blocks are joint blocks. In the single ones after them text and picture are one row of tokens, and go
    through the same layers.

    Args:
        transformer: The denoiser.
        size: Height of the native latent in tokens.
    """
    yield Part("transformer.x_embedder", transformer.x_embedder, "input", size)
    for name, kind in (("timestep_embedder", "time"), ("guidance_embedder", "time"), ("text_embedder", "context")):
        if hasattr(transformer.time_text_embed, name):
            yield Part(f"transformer.time_text_embed.{name}", getattr(transformer.time_text_embed, name), kind)
    yield Part("transformer.context_embedder", transformer.context_embedder, "context")
    for index, block in enumerate(transformer.transformer_blocks):
        for name, kind in _IN_A_JOINT_BLOCK:
            if getattr(block, name, None) is not None:
                path, order = f"transformer.transformer_blocks.{index}.{name}", _FLUX_ORDER if name == "attn" else ()
                yield Part(path, getattr(block, name), kind, size, f"BLOCK{index + 1}", order=order)
    first = len(transformer.transformer_blocks) + 1
    for index, block in enumerate(transformer.single_transformer_blocks):
        for name, kind in _IN_A_SINGLE_BLOCK:
            path, order = f"transformer.single_transformer_blocks.{index}.{name}", _FLUX_ORDER if name == "attn" else ()
            label = f"BLOCK{first + index}"
            yield Part(path, getattr(block, name), kind, size, label, is_one_stream=True, order=order)
    yield Part("transformer.norm_out", transformer.norm_out, "modulation", size)
    yield Part("transformer.proj_out", transformer.proj_out, "output", size)


_IN_A_FLUX_2_BLOCK = (
    ("attn", "joint-attention"),
    ("ff", "feed-forward"),
    ("ff_context", "feed-forward"),
)
_FLUX_2_ORDER = ("to_qkv_mlp_proj", *_FLUX_ORDER[:-2], "to_add_out", "to_out.0", "to_out")


def walk_flux_2(transformer: Any, size: int) -> Iterator[Part]:
    """Yield the parts of diffusers' transformer of FLUX.2, whose blocks share what makes their shifts and scales.

    In a single block attention and feed-forward network are side by side: one layer goes into both, and one out of
    both.

    Args:
        transformer: The denoiser.
        size: Height of the native latent in tokens.
    """
    for name in ("timestep_embedder", "guidance_embedder"):
        embedder = getattr(transformer.time_guidance_embed, name)
        if embedder is not None:
            yield Part(f"transformer.time_guidance_embed.{name}", embedder, "time")
    for name in ("double_stream_modulation_img", "double_stream_modulation_txt", "single_stream_modulation"):
        yield Part(f"transformer.{name}", getattr(transformer, name), "modulation")
    yield Part("transformer.x_embedder", transformer.x_embedder, "input", size)
    yield Part("transformer.context_embedder", transformer.context_embedder, "context")
    for index, block in enumerate(transformer.transformer_blocks):
        for name, kind in _IN_A_FLUX_2_BLOCK:
            path, order = f"transformer.transformer_blocks.{index}.{name}", _FLUX_2_ORDER if name == "attn" else ()
            yield Part(path, getattr(block, name), kind, size, f"BLOCK{index + 1}", order=order)
    first = len(transformer.transformer_blocks) + 1
    for index, block in enumerate(transformer.single_transformer_blocks):
        path, label = f"transformer.single_transformer_blocks.{index}.attn", f"BLOCK{first + index}"
        part = Part(path, block.attn, "joint-attention", size, label, is_one_stream=True, order=_FLUX_2_ORDER)
        yield replace(part, fused={"to_qkv_mlp_proj": _in_one(block.attn)})
    yield Part("transformer.norm_out", transformer.norm_out, "modulation", size)
    yield Part("transformer.proj_out", transformer.proj_out, "output", size)


def _in_one(attention: Any) -> Mapping[str, int]:
    """Return how many rows of the fused layer make queries, keys, values, and the feed-forward network's insides."""
    width = int(attention.inner_dim)
    return {"query": width, "key": width, "value": width, "mlp": attention.mlp_hidden_dim * attention.mlp_mult_factor}


_IN_A_QWEN_BLOCK = (
    ("img_mod", "modulation"),
    ("txt_mod", "modulation"),
    ("attn", "joint-attention"),
    ("img_mlp", "feed-forward"),
    ("txt_mlp", "feed-forward"),
)


def walk_qwen(transformer: Any, size: int) -> Iterator[Part]:
    """Yield the parts of diffusers' transformer of Qwen-Image, all of whose blocks are joint blocks.

    Args:
        transformer: The denoiser.
        size: Height of the native latent in tokens.
    """
    yield Part("transformer.img_in", transformer.img_in, "input", size)
    yield Part("transformer.txt_norm", transformer.txt_norm, "norm")
    yield Part("transformer.txt_in", transformer.txt_in, "context")
    time = transformer.time_text_embed.timestep_embedder
    yield Part("transformer.time_text_embed.timestep_embedder", time, "time")
    for index, block in enumerate(transformer.transformer_blocks):
        for name, kind in _IN_A_QWEN_BLOCK:
            path, order = f"transformer.transformer_blocks.{index}.{name}", _FLUX_ORDER if name == "attn" else ()
            yield Part(path, getattr(block, name), kind, size, f"BLOCK{index + 1}", order=order)
    yield Part("transformer.norm_out", transformer.norm_out, "modulation", size)
    yield Part("transformer.proj_out", transformer.proj_out, "output", size)


_IN_A_Z_BLOCK = (
    ("adaLN_modulation", "modulation"),
    ("attention_norm1", "norm"),
    ("attention", "joint-attention"),
    ("attention_norm2", "norm"),
    ("ffn_norm1", "norm"),
    ("feed_forward", "feed-forward"),
    ("ffn_norm2", "norm"),
)
_Z_ORDER = (*_FLUX_ORDER, "w1", "w3", "w2")


def walk_z(transformer: Any, size: int) -> Iterator[Part]:
    """Yield the parts of diffusers' transformer of Z-Image, in whose blocks picture and text are one row of tokens.

    Before them a few blocks, NOISE1 and so on, are of the picture alone, and some, CONTEXT1 and so on, of the text.

    Args:
        transformer: The denoiser.
        size: Height of the native latent in tokens.
    """
    embedder, final = transformer.all_x_embedder["2-1"], transformer.all_final_layer["2-1"]
    yield Part("transformer", transformer, "input", size, is_shell=True)  # what stands for padding
    yield Part("transformer.t_embedder", transformer.t_embedder, "time")
    yield Part("transformer.all_x_embedder.2-1", embedder, "input", size)
    yield from _z_blocks(transformer.noise_refiner, "transformer.noise_refiner", "NOISE", size, "self-attention")
    yield Part("transformer.cap_embedder", transformer.cap_embedder, "context")
    yield from _z_blocks(transformer.context_refiner, "transformer.context_refiner", "CONTEXT", size, "context")
    yield from _z_blocks(transformer.layers, "transformer.layers", "BLOCK", size, "joint-attention")
    yield Part("transformer.all_final_layer.2-1.adaLN_modulation", final.adaLN_modulation, "modulation", size)
    yield Part("transformer.all_final_layer.2-1.linear", final.linear, "output", size)


def _z_blocks(blocks: Any, path: str, label: str, size: int, kind: str) -> Iterator[Part]:
    """Yield the parts of blocks whose attention is of a kind; those of the text alone are all of the kind context."""
    for index, block in enumerate(blocks):
        for name, own in _IN_A_Z_BLOCK:
            if getattr(block, name, None) is not None:
                whole = kind if kind == "context" or name == "attention" else own
                part = Part(f"{path}.{index}.{name}", getattr(block, name), whole, size, f"{label}{index + 1}")
                yield replace(part, is_one_stream=kind == "joint-attention", order=_Z_ORDER)


_IN_A_CROSS_BLOCK = (
    ("attn1", "self-attention"),
    ("attn2", "cross-attention"),
    ("norm2", "norm"),
    ("ff", "feed-forward"),
)


def walk_cross(transformer: Any) -> Iterator[Part]:
    """Yield the parts of diffusers' transformer of PixArt; its names begin with `transformer`.

    The tables of shifts and scales are parameters of the blocks, and of the whole, themselves.
    """
    size = transformer.config.sample_size // transformer.config.patch_size
    yield Part("transformer", transformer, "modulation", size, is_shell=True)
    yield Part("transformer.pos_embed", transformer.pos_embed, "input", size)
    yield Part("transformer.adaln_single.emb", transformer.adaln_single.emb, "time")
    yield Part("transformer.adaln_single.linear", transformer.adaln_single.linear, "modulation")
    yield Part("transformer.caption_projection", transformer.caption_projection, "context")
    yield from _cross_blocks(transformer, size)


def walk_sana(transformer: Any) -> Iterator[Part]:
    """Yield the parts of diffusers' transformer of SANA, whose `attn1` is linear attention."""
    size = transformer.config.sample_size // transformer.config.patch_size
    yield Part("transformer", transformer, "modulation", size, is_shell=True)
    yield Part("transformer.patch_embed", transformer.patch_embed, "input", size)
    yield Part("transformer.time_embed.emb", transformer.time_embed.emb, "time")
    yield Part("transformer.time_embed.linear", transformer.time_embed.linear, "modulation")
    yield Part("transformer.caption_projection", transformer.caption_projection, "context")
    yield Part("transformer.caption_norm", transformer.caption_norm, "norm")
    yield from _cross_blocks(transformer, size)


def _cross_blocks(transformer: Any, size: int) -> Iterator[Part]:
    for index, block in enumerate(transformer.transformer_blocks):
        path, label = f"transformer.transformer_blocks.{index}", f"BLOCK{index + 1}"
        yield Part(path, block, "modulation", size, label, is_shell=True)
        for name, kind in _IN_A_CROSS_BLOCK:
            yield Part(f"{path}.{name}", getattr(block, name), kind, size, label)
    yield Part("transformer.proj_out", transformer.proj_out, "output", size)


def text_readers(sites: Sites) -> Mapping[str, Sites]:
    """Return the embedders of the tokens and of the pooled text, of a transformer that has both.

    Args:
        sites: All of the transformer's.
    """
    context = sites.only(kind="context", level="layer")
    return {
        "hidden": context.only(name="*.context_embedder"),
        "pooled": context.only(name="*.text_embedder.linear_1"),
    }
