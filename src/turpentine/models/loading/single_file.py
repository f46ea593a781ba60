"""A model in one file, in the layout of the original Stable Diffusion; configs and tokenizers are not in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from turpentine.core.errors import ModelNotFound
from turpentine.core.safe_text import one_line
from turpentine.models.families.base import Family
from turpentine.models.families.sdxl import SDXL
from turpentine.models.families.stable_diffusion import StableDiffusion
from turpentine.models.loading.folder import check_parts
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
    if config and (Path(config) / "model_index.json").is_file():
        check_parts(Path(config))  # what is not in the file is read from there
    way_out = "give config=, a diffusers folder or hub id of its family, for the configs and tokenizers"
    with clear_errors(f"The model {one_line(str(path))} cannot be read ({way_out})"):
        return getattr(diffusers, family.pipeline_class).from_single_file(
            str(path), dtype=dtype, config=str(config) if config else None, **family.load_options
        )


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
