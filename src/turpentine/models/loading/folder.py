"""A model in diffusers' layout: a folder with a `model_index.json` and a folder for each part."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from turpentine.core.errors import ModelNotFound, UnsafeFile, UnsupportedModel
from turpentine.core.safe_text import one_line
from turpentine.models.families import FAMILIES, Family
from turpentine.models.loading.memory import check_weights_fit
from turpentine.models.loading.safe_reading import (
    PICKLES,
    check_names,
    clear_errors,
    is_pointer,
    pickle_refused,
    pointer_refused,
    weight_files,
    weight_names,
)

_FAMILIES = {family.pipeline_class: family for family in FAMILIES}


def read_folder(folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """Read a folder in diffusers' layout: only pipelines of known families, only safetensors, no code of its own.

    Args:
        folder: With a `model_index.json`.
        dtype: Number format to read it in.
        device: Where it will go, in whose memory there must be room.
    """
    import diffusers

    family = _family_of(folder)
    check_parts(folder)
    for component in family.component_names:
        _check_weights(folder / component)
    with clear_errors(f"The model in {one_line(str(folder))} cannot be read"):
        check_weights_fit(
            folder, [path for name in family.component_names for path in _read_of(folder / name)], dtype, device
        )
        own = family.parts(folder)
        pipeline = getattr(diffusers, family.pipeline_class).from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            variant=_variant(folder / family.denoiser_name),
            **family.load_options,
            **{part: None for part in family.optional if not (folder / part).is_dir()},
            **dict.fromkeys(own),
        )
        pipeline.register_modules(**own)
    for component in family.text_encoder_names.values():
        _check_text_encoder(folder / component, getattr(pipeline, component, None))
    return pipeline


def check_parts(folder: Path) -> None:
    """Check what all parts name that a pipeline's index lists, before a library reads any; see `check_names`."""
    with clear_errors(f"The folder {one_line(str(folder))} holds no model in diffusers' layout"):
        parts = dict(json.loads((folder / "model_index.json").read_text(encoding="utf-8")))
    for part in parts:
        check_names(folder / part)


def _family_of(folder: Path) -> type[Family]:
    with clear_errors(f"The folder {one_line(str(folder))} holds no model in diffusers' layout"):
        name = dict(json.loads((folder / "model_index.json").read_text(encoding="utf-8"))).get("_class_name")
    if name not in _FAMILIES:
        raise UnsupportedModel(
            f"{one_line(str(folder))} is a {one_line(str(name))}: Turpentine works on {' and '.join(_FAMILIES)}."
        )
    return _FAMILIES[name]


def _check_weights(component: Path) -> None:
    """Refuse a component that has its weights as a pickle only, before anything is read."""
    if not component.is_dir() or weight_files(component):
        return
    paths = [path for path in sorted(component.iterdir()) if path.is_file()]
    pointers = [path for path in paths if path.suffix == ".safetensors" and is_pointer(path)]
    if pointers:
        raise ModelNotFound(pointer_refused(pointers[0]))
    pickles = [path for path in paths if path.suffix in PICKLES]
    if pickles:
        raise UnsafeFile(pickle_refused(pickles[0]))
    raise ModelNotFound(f"{one_line(str(component))} holds no .safetensors file: the model is not all there.")


def _check_text_encoder(component: Path, encoder: Any) -> None:
    """Refuse a text encoder with a weight missing: transformers would fill it with random numbers.

    It does so too where a release of it expects other names than the file's, and says nothing that is seen here. So the
    encoder's vectors, its norms and biases, are held against those of the files.
    """
    if encoder is None:
        return
    weights = {_inner_name(name): (name, weight) for name, weight in encoder.named_parameters()}
    files = _read_of(component)
    held = {_inner_name(name) for path in files for name in weight_names(path)}
    for inner, (name, _) in weights.items():
        if inner not in held:
            raise ModelNotFound(f"{one_line(str(component))} holds no weight {name!r}: the model is not all there.")
    vectors = {inner: weight for inner, (_, weight) in weights.items() if weight.ndim == 1}
    unlike = [inner for path in files for inner in _unlike(path, vectors)]
    if unlike:
        raise UnsupportedModel(
            f"{weights[unlike[0]][0]!r} of {one_line(str(component))} did not reach the text encoder, which "
            f"transformers {metadata.version('transformers')} names otherwise: install another release, such as 5.23."
        )


def _unlike(path: Path, vectors: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the inner names of vectors that are others in a file, which is opened once."""
    own = {name: vectors[_inner_name(name)] for name in weight_names(path) if _inner_name(name) in vectors}
    with safe_open(path, "pt") as file:
        return [_inner_name(name) for name, vector in own.items() if not _is_as(file.get_tensor(name), vector)]


def _is_as(stored: torch.Tensor, weight: torch.Tensor) -> bool:
    """Return whether a weight is the stored one, as far as its number format has it."""
    return torch.allclose(stored.float(), weight.detach().cpu().float(), rtol=1e-2, atol=1e-3)


def _inner_name(weight: str) -> str:
    """Return a weight's name without the levels around its network, which releases of transformers have otherwise."""
    return re.sub(r"^((text_model|model|language_model)\.)+", "", weight)


def _read_of(component: Path) -> list[Path]:
    """Return the files of a component's weights without those of other variants."""
    files = weight_files(component)
    plain = [path for path in files if path.name.count(".") == 1]
    return plain or [path for path in files if ".fp16" in path.name]


def _variant(denoiser: Path) -> str | None:
    """Return "fp16" where the denoiser is there as such and in no other number format."""
    weights = [path.name for path in weight_files(denoiser)]
    return "fp16" if weights and all(".fp16." in name or ".fp16-" in name for name in weights) else None
