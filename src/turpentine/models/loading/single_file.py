"""A model in one file, in the layout of the original Stable Diffusion; configs and tokenizers are not in it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from traceback import walk_tb
from typing import Any

import torch

from turpentine.core.errors import ModelNotFound
from turpentine.core.safe_text import one_line
from turpentine.models.families.base import Family
from turpentine.models.families.sdxl import SDXL
from turpentine.models.families.stable_diffusion import StableDiffusion
from turpentine.models.loading.safe_reading import clear_errors, weight_names

_PARTS = {
    ("model.diffusion_model.",): "denoiser",
    ("first_stage_model.",): "autoencoder",
    ("cond_stage_model.", "conditioner."): "text encoder",
}


def read_file(path: Path, dtype: torch.dtype, config: str | Path | None) -> Any:
    """Read the pipeline; `config` is a diffusers folder or hub id, by default that of the family, from the hub."""
    import diffusers

    family = _family_of(path)
    way_out = " (give config=, a diffusers folder or hub id of its family, for the configs and tokenizers)"
    read = partial(
        getattr(diffusers, family.pipeline_class).from_single_file,
        str(path),
        config=str(config) if config else None,
        **family.load_options,
    )
    with clear_errors(f"The model {one_line(str(path))} cannot be read{'' if config else way_out}"):
        try:
            return read(dtype=dtype)
        except NotImplementedError as error:  # diffusers converts a weight that it found no numbers for
            raise ModelNotFound(
                f"{one_line(str(path))} holds no weight {_empty_weight(error)}: not all is there."
            ) from error


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
