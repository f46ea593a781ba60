"""Where a text encoder's sites are: walks through CLIP's and T5's in order of execution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from turpentine.models.families.walk import Part, sites_on
from turpentine.models.sites import Site


def text_sites(text_encoders: Mapping[str, Any]) -> list[Site]:
    """Return all sites of text encoders, in order of execution.

    Args:
        text_encoders: By the component of their sites; their names begin with `text_encoder`, and from the second on
            with a number, which is that of the component: `text_encoder_2` of "text-2".
    """
    sites: list[Site] = []
    for component, encoder in text_encoders.items():
        number = component.removeprefix("text").removeprefix("-")
        name, prefix = (f"text_encoder_{number}", f"TEXT{number}-") if number else ("text_encoder", "TEXT")
        walk = _walk_t5 if hasattr(encoder, "shared") else _walk_text
        sites += sites_on(walk(encoder, name, prefix), component)
    return sites


def _walk_text(encoder: Any, path: str, prefix: str) -> Iterator[Part]:
    """A CLIP text encoder; transformers put it in a `text_model` up to version 4, and still does with a projection."""
    inner, inside = (encoder.text_model, f"{path}.text_model") if hasattr(encoder, "text_model") else (encoder, path)
    yield Part(f"{inside}.embeddings", inner.embeddings, "text-embedding")
    for index, layer in enumerate(inner.encoder.layers):
        yield from _walk_text_layer(layer, f"{inside}.encoder.layers.{index}", f"{prefix}{index + 1}")
    yield Part(f"{inside}.final_layer_norm", inner.final_layer_norm, "text-norm")
    if hasattr(encoder, "text_projection"):
        yield Part(f"{path}.text_projection", encoder.text_projection, "text-projection")


_IN_A_TEXT_LAYER = (
    ("layer_norm1", "text-norm"),
    ("self_attn", "text-attention"),
    ("layer_norm2", "text-norm"),
    ("mlp", "text-mlp"),
)


def _walk_text_layer(layer: nn.Module, path: str, label: str) -> Iterator[Part]:
    for name, kind in _IN_A_TEXT_LAYER:
        yield Part(f"{path}.{name}", getattr(layer, name), kind, 0, label)


def _walk_t5(encoder: Any, path: str, prefix: str) -> Iterator[Part]:
    """The encoder of T5, whose first block alone has places: the bias of its attention."""
    # The same weight is there as `shared`, which is not called.
    yield Part(f"{path}.encoder.embed_tokens", encoder.encoder.embed_tokens, "text-embedding")
    for index, block in enumerate(encoder.encoder.block):
        inside, label = f"{path}.encoder.block.{index}.layer", f"{prefix}{index + 1}"
        attention, mlp = block.layer
        yield Part(f"{inside}.0.layer_norm", attention.layer_norm, "text-norm", 0, label)
        yield Part(f"{inside}.0.SelfAttention", attention.SelfAttention, "text-attention", 0, label)
        yield Part(f"{inside}.1.layer_norm", mlp.layer_norm, "text-norm", 0, label)
        yield Part(f"{inside}.1.DenseReluDense", mlp.DenseReluDense, "text-mlp", 0, label)
    yield Part(f"{path}.encoder.final_layer_norm", encoder.encoder.final_layer_norm, "text-norm")
