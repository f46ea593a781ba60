"""Where a text encoder's sites are: walks through CLIP's, T5's and language models' in order of execution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
        inner, inside = _language_model(encoder, name)
        sites += sites_on(_walk_of(inner)(inner, inside, prefix), component)
    return sites


def _language_model(encoder: Any, name: str) -> tuple[Any, str]:
    """Return the language model in an encoder with a head, or that sees pictures, and its dotted name, or itself."""
    whole = getattr(encoder, "model", None)
    inner = getattr(whole, "language_model", None)
    if inner is not None:
        return inner, f"{name}.model.language_model"
    return (whole, f"{name}.model") if hasattr(whole, "embed_tokens") else (encoder, name)


def _walk_of(encoder: Any) -> Callable[[Any, str, str], Iterator[Part]]:
    if hasattr(encoder, "shared"):
        return _walk_t5
    return _walk_language_model if hasattr(encoder, "embed_tokens") else _walk_text


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


_IN_A_LANGUAGE_MODELS_LAYER = (
    ("input_layernorm", "text-norm"),
    ("self_attn", "text-attention"),
    ("post_attention_layernorm", "text-norm"),
    ("pre_feedforward_layernorm", "text-norm"),
    ("mlp", "text-mlp"),
    ("post_feedforward_layernorm", "text-norm"),
)

_LANGUAGE_ORDER = ("q_proj", "q_norm", "k_proj", "k_norm", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def _walk_language_model(model: Any, path: str, prefix: str) -> Iterator[Part]:
    """A language model without its head, such as Gemma, which has two norms more than most in a layer."""
    yield Part(f"{path}.embed_tokens", model.embed_tokens, "text-embedding")
    for index, layer in enumerate(model.layers):
        for name, kind in _IN_A_LANGUAGE_MODELS_LAYER:
            if getattr(layer, name, None) is not None:
                inside = f"{path}.layers.{index}.{name}"
                yield Part(inside, getattr(layer, name), kind, 0, f"{prefix}{index + 1}", order=_LANGUAGE_ORDER)
    yield Part(f"{path}.norm", model.norm, "text-norm")
