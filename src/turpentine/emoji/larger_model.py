"""The larger embedded model, `emoji-64`: pictures of 64 px of the larger world, of coloured objects and relations.

Its networks ship as rows of int8 or in fp16, in a folder that is not diffusers'; what is built of them is.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from turpentine.core.int8_rows import unpacked
from turpentine.core.random_state import preserved_rng
from turpentine.emoji import LARGER_WEIGHTS
from turpentine.emoji.train.denoiser import scheduler


def larger_pipeline(dtype: torch.dtype = torch.float32) -> StableDiffusionPipeline:
    """Return `emoji-64` as diffusers' pipeline for Stable Diffusion 1, on the CPU.

    Args:
        dtype: Format of all numbers.

    Example:
        >>> pipe = larger_pipeline()
        >>> pipe.set_progress_bar_config(disable=True)
        >>> pipe("a red car left of a dog", num_inference_steps=2, guidance_scale=4.0).images[0].size
        (64, 64)
    """
    encoder, tokenizer = larger_text()
    with preserved_rng():
        unet = UNet2DConditionModel.from_config(json.loads((LARGER_WEIGHTS / "unet.json").read_text()))
        vae = AutoencoderKL.from_config(json.loads((LARGER_WEIGHTS / "vae.json").read_text()))
        text = CLIPTextModel(encoder.config)
    unet.load_state_dict(unpacked(load_file(LARGER_WEIGHTS / "unet.safetensors")))
    vae.load_state_dict(unpacked(load_file(LARGER_WEIGHTS / "vae.safetensors")))
    text.load_state_dict(encoder.text_model.state_dict())
    pipe = StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return pipe.to(dtype)


def write_configs(folder: Path) -> None:
    """Write all of the larger model but its weights, in diffusers' layout: what a single file of it lacks.

    Args:
        folder: Where to; it must exist.
    """
    pipe = larger_pipeline()
    pipe.save_config(folder)
    for name in ("unet", "vae"):
        getattr(pipe, name).save_config(folder / name)
    pipe.text_encoder.config.save_pretrained(folder / "text_encoder")
    for name in ("tokenizer", "scheduler"):
        getattr(pipe, name).save_pretrained(folder / name)


def larger_text() -> tuple[CLIPTextModelWithProjection, CLIPTokenizer]:
    """Return the larger world's text tower and its tokenizer."""
    with preserved_rng():
        config = CLIPTextConfig(**json.loads((LARGER_WEIGHTS / "text_encoder.json").read_text()))
        encoder = CLIPTextModelWithProjection(config)
    encoder.load_state_dict(unpacked(load_file(LARGER_WEIGHTS / "text_encoder.safetensors")))
    return encoder.eval(), CLIPTokenizer.from_pretrained(Path(LARGER_WEIGHTS, "tokenizer"))
