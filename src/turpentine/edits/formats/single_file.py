"""Export a model with its edits baked in as one file in the layout of the original Stable Diffusion."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from turpentine.core.errors import EditError
from turpentine.core.tensors import save_tensors
from turpentine.models import Model
from turpentine.models.families.original_names import open_clip_modules, renamed, vae_modules
from turpentine.models.loading.prediction import marks_of
from turpentine.models.loading.single_file import RECORD
from turpentine.models.saving import export_record, refuse_existing, refuse_guidance

Weights = Iterator[tuple[str, Tensor]]

_FUSED = re.compile(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(weight|bias)")


def save_single_file(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the model as it is now, edits included, as one safetensors file in the original layout.

    The file is whole or not there at all. It has the names that other programs look for in Stable Diffusion 1.x, 2.x
    and SDXL; its metadata lists the edits. That the model predicts v, and to pure noise, stands in it as
    programs look for it. Such a file holds no tokenizer and nothing else of the schedule; and it lacks the last layer
    of Stable Diffusion 2's text encoder, which nothing uses and diffusers leaves out.

    Args:
        model: The model to write.
        path: Where to; it must not exist.

    Raises:
        EditError: The path exists, a weight has no name in that layout, words were added to the
            vocabulary, or a guidance is on the model.
        UnsupportedModel: Something is on the model that no export holds, such as a LoRA of PEFT's.
        OSError: The disk is full, or another error of the file system.
    """
    refuse_existing(path)
    refuse_guidance(model)
    model.family.check(hooks=False)
    _refuse_added_words(model)
    marks, spec = marks_of(model.pipeline)
    metadata = {"format": "pt", **spec, "modelspec.title": model.name, RECORD: export_record(model)}
    save_tensors(path, {**original_weights(model), **marks}, metadata)


def _refuse_added_words(model: Model) -> None:
    """Refuse words of textual inversion, which are in the vocabulary that such a file lacks."""
    if model.text.added_words:
        words = ", ".join(map(repr, model.text.added_words))
        raise EditError(f"A single file holds no vocabulary, and {words} was added to it: write a diffusers folder.")


def original_weights(model: Model) -> dict[str, Tensor]:
    """Return the model's weights under the original layout's names and in its shapes."""
    return {
        **_under("model.diffusion_model.", _renamed(model.denoiser, model.family.original_names())),
        **_under("first_stage_model.", _autoencoder(model.vae)),
        **_text_encoders(model.components),
    }


def _under(prefix: str, weights: Weights) -> dict[str, Tensor]:
    return {prefix + name: weight for name, weight in weights}


def _renamed(network: Any, modules: Mapping[str, str]) -> Weights:
    for name, weight in network.named_parameters():
        yield renamed(name, modules), weight.detach()


def _autoencoder(vae: Any) -> Weights:
    """Yield the autoencoder's weights; its one attention is made of 1 x 1 convolutions in the original layout."""
    for name, weight in _renamed(vae, vae_modules(vae)):
        is_convolution = ".attn_1." in name and weight.dim() == 2
        yield name, weight[:, :, None, None] if is_convolution else weight


def _text_encoders(components: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the text encoders' weights: OpenAI's CLIP keeps its names, OpenCLIP (SD 2, SDXL's second) has its own."""
    first, second = components["text_encoder"], components.get("text_encoder_2")
    if second is not None:
        return {
            **_under("conditioner.embedders.0.transformer.text_model.", _clip(first)),
            **_under("conditioner.embedders.1.model.", _open_clip(second)),
        }
    # Programs that read such files know Stable Diffusion 2 by the linear projections of its transformers.
    if components["unet"].config.use_linear_projection:
        return _under("cond_stage_model.model.", _open_clip(first))
    return _under("cond_stage_model.transformer.text_model.", _clip(first))


def _clip(encoder: Any) -> Weights:
    for name, weight in encoder.named_parameters():
        yield name.removeprefix("text_model."), weight.detach()


def _open_clip(encoder: Any) -> Weights:
    """Yield OpenCLIP's weights: queries, keys and values in one matrix, and the projection transposed."""
    weights = dict(_clip(encoder))
    modules = open_clip_modules(encoder.config.num_hidden_layers)
    for name, weight in weights.items():
        fused = _FUSED.fullmatch(name)
        if fused:
            parts = [weights[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            yield f"transformer.resblocks.{fused[1]}.attn.in_proj_{fused[2]}", torch.cat(parts)
        elif not re.search(r"\.[kv]_proj\.", name):
            yield renamed(name, modules), weight.T if name.startswith("text_projection.") else weight
