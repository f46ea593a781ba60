"""What tiny random pipelines have in common: words, an autoencoder, and schedulers as they are read from files."""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL

WORDS = [
    "a",
    "an",
    "and",
    "by",
    "church",
    "dog",
    "cat",
    "car",
    "house",
    "truck",
    "fish",
    "horn",
    "saw",
    "on",
    "in",
    "style",
    "background",
    "red",
    "blue",
    "green",
    "ink",
    "flat",
]
LENGTH = 16


def kl_autoencoder() -> AutoencoderKL:
    """Return a tiny autoencoder of four channels and a factor of 4."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
        scaling_factor=0.5,
    ).eval()


def spelt_out(scheduler: Any) -> Any:
    """Return a scheduler that leaves nothing to defaults, as one is that was read from a file that was saved.

    diffusers lets another solver that is made from it take its own defaults for what was left open.
    """
    config = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
    return type(scheduler).from_config(config)
