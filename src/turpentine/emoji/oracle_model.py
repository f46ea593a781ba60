"""An oracle that ships: the embedded model with another denoiser, trained in a world without a concept."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file

from turpentine.core.int8_rows import packed, unpacked
from turpentine.core.random_state import preserved_rng
from turpentine.core.tensors import save_tensors
from turpentine.emoji import WEIGHTS

DENOISER = "unet.safetensors"
"""An oracle's denoiser, in its folder."""


def oracle_pipeline(folder: Path, dtype: torch.dtype = torch.float32) -> StableDiffusionPipeline:
    """Return an oracle as diffusers' pipeline for Stable Diffusion 1, on the CPU.

    Args:
        folder: As `pack` writes it.
        dtype: Format of all numbers.
    """
    with preserved_rng():
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(WEIGHTS / "unet"))
        pipe = StableDiffusionPipeline.from_pretrained(WEIGHTS, unet=unet.eval(), use_safetensors=True)
    unet.load_state_dict(unpacked(load_file(folder / DENOISER)))
    return pipe.to(dtype)


def pack(denoiser: torch.nn.Module, folder: Path) -> None:
    """Write an oracle's denoiser as `oracle_pipeline` reads it.

    Args:
        denoiser: Of the embedded model's sizes.
        folder: Where to; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / DENOISER, packed(denoiser.state_dict()))
