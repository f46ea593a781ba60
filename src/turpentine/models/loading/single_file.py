"""A model in one file, in the layout of the original Stable Diffusion; configs and tokenizers are not in it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from traceback import walk_tb
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from turpentine.core.errors import ModelNotFound
from turpentine.core.safe_text import one_line
from turpentine.emoji import WEIGHTS, WORLD
from turpentine.emoji.oracles import is_oracle_name
from turpentine.models.families.base import Family
from turpentine.models.families.sdxl import SDXL
from turpentine.models.families.stable_diffusion import StableDiffusion
from turpentine.models.loading.folder import check_parts
from turpentine.models.loading.memory import check_weights_fit
from turpentine.models.loading.prediction import Prediction, prediction_in
from turpentine.models.loading.safe_reading import clear_errors, named, weight_names

RECORD = "turpentine.model"
"""The key of what our own single files say of the model that is in them, in their metadata."""

_PARTS = {
    ("model.diffusion_model.",): "denoiser",
    ("first_stage_model.",): "autoencoder",
    ("cond_stage_model.", "conditioner."): "text encoder",
}


def read_file(
    path: Path, dtype: torch.dtype, config: str | Path | None, prediction: Prediction, device: torch.device
) -> Any:
    """Read the pipeline.

    Args:
        path: The file.
        dtype: Number format to read it in.
        config: A diffusers folder or hub id; by default that of the family, from the hub.
        prediction: What is given of it; the rest is what the file says, and after that the config.
        device: Where it will go, in whose memory there must be room.
    """
    import diffusers

    family = _family_of(path)
    if config and (Path(config) / "model_index.json").is_file():
        check_parts(Path(config))  # what is not in the file is read from there
    with clear_errors(f"The file {one_line(str(path))} cannot be read"), safe_open(path, framework="np") as file:
        names, metadata = list(file.keys()), file.metadata() or {}
    check_weights_fit(path, [path], dtype, device)
    with named(path):
        prediction = prediction_in(names, metadata, prediction)
    way_out = " (give config=, a diffusers folder or hub id of its family, for the configs and tokenizers)"
    read = partial(
        getattr(diffusers, family.pipeline_class).from_single_file,
        str(path),
        config=str(config) if config else None,
        **family.load_options,
    )
    with clear_errors(f"The model {one_line(str(path))} cannot be read{'' if config else way_out}"):
        try:
            pipeline = read(dtype=dtype)
        except NotImplementedError as error:  # diffusers converts a weight that it found no numbers for
            raise ModelNotFound(
                f"{one_line(str(path))} holds no weight {_empty_weight(error)}: not all is there."
            ) from error
    prediction.set_on(pipeline)
    return pipeline


def _empty_weight(error: NotImplementedError) -> str:
    """Return which weight has no numbers: torch does not say, so it is looked for in the network that it converts."""
    networks = (frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__))
    names = (
        f"{name!r} for its {type(network).__name__}"
        for network in networks
        if isinstance(network, torch.nn.Module)
        for name, weight in network.named_parameters()
        if weight.is_meta
    )
    return next(names, "for one of its parts")


def _family_of(path: Path) -> type[Family]:
    """Return the family of a single file, which must hold the denoiser, the autoencoder and the text encoder."""
    with clear_errors(f"The file {one_line(str(path))} cannot be read"):
        names = weight_names(path)
    for prefixes, part in _PARTS.items():
        if not any(name.startswith(prefixes) for name in names):
            raise ModelNotFound(
                f"{one_line(str(path))} holds no {part}: it is not a whole Stable Diffusion model in a single file."
            )
    is_xl = any(name.startswith("conditioner.embedders.1.") for name in names)
    return SDXL if is_xl else StableDiffusion


def config_of(path: Path) -> Path | None:
    """Return the folder with the configs and tokenizers of a single file of ours, where it says which and that is here.

    That is the embedded model's, also for an oracle's, or the folder that the exported model was loaded from.
    """
    name = exported_from(path)
    folder = WEIGHTS if name == WORLD or is_oracle_name(str(name)) else Path(str(name)).expanduser()
    return folder if (folder / "model_index.json").is_file() else None


def exported_from(path: Path) -> str | None:
    """Return the name of the model that a single file of ours was exported from; None of any other file."""
    try:
        with safe_open(path, framework="np") as file:
            return str(json.loads((file.metadata() or {})[RECORD])["model"])
    except (SafetensorError, OSError, ValueError, LookupError, TypeError):
        return None  # it is no file of ours, or damaged, which who reads it says
