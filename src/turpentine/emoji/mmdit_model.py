"""The embedded transformer, `emoji-mmdit`: the same world drawn by a small Stable Diffusion 3.

Its transformer ships as rows of int8. The autoencoder and the first text tower are the embedded model's, the second is
the larger model's. T5, SD 3's third encoder, is left out, as its pipeline allows.
"""

from __future__ import annotations

import json

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel, StableDiffusion3Pipeline
from safetensors.torch import load_file

from turpentine.core.int8_rows import unpacked
from turpentine.core.random_state import preserved_rng
from turpentine.emoji import MMDIT_WEIGHTS, WEIGHTS
from turpentine.emoji.larger_model import larger_text
from turpentine.emoji.towers import load_towers
from turpentine.emoji.train.flow import pipeline


def mmdit_pipeline(dtype: torch.dtype = torch.float32) -> StableDiffusion3Pipeline:
    """Return `emoji-mmdit` as diffusers' pipeline for Stable Diffusion 3, on the CPU.

    Args:
        dtype: Format of all numbers.

    Returns:
        Draws pictures of 32 × 32 pixels; twenty steps and a guidance scale of 4 are what its card was measured with.

    Example:
        >>> pipe = mmdit_pipeline()
        >>> pipe.set_progress_bar_config(disable=True)
        >>> pipe("a church", num_inference_steps=2, guidance_scale=4.0).images[0].size
        (32, 32)
    """
    with preserved_rng():
        transformer = SD3Transformer2DModel.from_config(json.loads((MMDIT_WEIGHTS / "transformer.json").read_text()))
        vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae", use_safetensors=True)
    transformer.load_state_dict(unpacked(load_file(MMDIT_WEIGHTS / "transformer.safetensors")))
    first, (second, tokenizer) = load_towers(WEIGHTS), larger_text()
    parts = (first.text, second), (first.tokenizer, tokenizer)
    return pipeline(vae.eval(), *parts, transformer.eval()).to(dtype)
