"""What is true of one architecture: components, prediction, schedule, sites. `family_of` finds out which one it is."""

from __future__ import annotations

from typing import Any

from turpentine.core.errors import UnsupportedModel
from turpentine.models.families.alterations import wrapper_of
from turpentine.models.families.base import Family
from turpentine.models.families.flux import Flux
from turpentine.models.families.flux_2_dev import Flux2Dev
from turpentine.models.families.flux_2_klein import Flux2Klein
from turpentine.models.families.pixart import PixArtAlpha, PixArtSigma
from turpentine.models.families.qwen_image import QwenImage
from turpentine.models.families.sana import SANA
from turpentine.models.families.sdxl import SDXL
from turpentine.models.families.stable_diffusion import StableDiffusion
from turpentine.models.families.stable_diffusion_3 import StableDiffusion3
from turpentine.models.families.walk import module_of
from turpentine.models.families.z_image import ZImage

FAMILIES: tuple[type[Family], ...] = (
    StableDiffusion,
    SDXL,
    StableDiffusion3,
    Flux,
    Flux2Dev,
    Flux2Klein,
    PixArtSigma,
    PixArtAlpha,
    SANA,
    QwenImage,
    ZImage,
)
"""All families; a pipeline is of the first that it fits."""

__all__ = ["FAMILIES", "Family", "family_of", "module_of"]


def _is_part(given: Any) -> bool:
    """Return whether something is a network, a tokenizer or a scheduler, of which pipelines are made."""
    return callable(getattr(given, "parameters", None)) or hasattr(given, "tokenize") or hasattr(given, "timesteps")


def family_of(pipeline: Any) -> Family:
    """Return the family of a diffusers pipeline.

    Raises:
        UnsupportedModel: The pipeline is of no known family, or something on it changes what it computes.
    """
    for family in FAMILIES:
        if family.fits(pipeline):
            return family(pipeline)
    for name in dict.fromkeys(name for family in FAMILIES for name in family.component_names):
        wrapper = wrapper_of(getattr(pipeline, name, None))
        if wrapper:
            raise UnsupportedModel(f"{name} {wrapper}.")
    name = type(pipeline).__name__
    if _is_part(pipeline):
        raise UnsupportedModel(f"{name} is a part of a pipeline: give the whole pipeline, such as load(pipe).")
    raise UnsupportedModel(
        f"{name} is of no known family: Turpentine works on Stable Diffusion 1.x, 2.x, SDXL and 3, FLUX.1, "
        "FLUX.2, PixArt, SANA, Qwen-Image and Z-Image."
    )
