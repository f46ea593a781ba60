"""Train an oracle's denoiser beside the shipped autoencoder, text encoder and judge, which stay as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from diffusers import AutoencoderKL, UNet2DConditionModel

from turpentine.emoji import WEIGHTS
from turpentine.emoji.judge_network import load_judge
from turpentine.emoji.towers import load_towers
from turpentine.emoji.train.assemble import assemble
from turpentine.emoji.train.oracle import Oracle
from turpentine.emoji.train.presets import Preset
from turpentine.emoji.train.stages import Say, WorldTraining
from turpentine.emoji.train.update import building


def retrain(
    oracle: Oracle,
    preset: Preset,
    folder: Path,
    say: Say,
    *,
    device: str = "cpu",
    seed: int = 0,
    bf16: bool = True,
    ahead: bool = False,
) -> UNet2DConditionModel:
    """Train both stages of the denoiser in the oracle's world, write a diffusers folder and return the denoiser.

    Text encoder and autoencoder are the shipped ones, as in Stable Diffusion, whose text encoder was trained
    elsewhere: the oracle is one for what erasures edit, the denoiser.

    Args:
        oracle: The world to train in.
        preset: Sizes and schedules; the sizes must be the shipped model's.
        folder: For checkpoints and, at the end, `weights`.
        say: Receives progress, a line at a time.
        device: Where to train.
        seed: Of the initial weights and of the pictures.
        bf16: Whether the denoiser computes in bfloat16.
        ahead: Whether pictures are rendered by processes of their own, those of both stages at once.
    """
    first, finish = (
        replace(stage, schedule=replace(stage.schedule, bf16=bf16)) for stage in (preset.unet, preset.finish)
    )
    preset = replace(preset, unet=first, finish=finish)
    training = WorldTraining(preset, folder, say, device=device, seed=seed, oracle=oracle)
    if ahead:
        training.render_ahead()
    with building:
        vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae", use_safetensors=True).eval().to(device)
        towers, judge = load_towers(WEIGHTS).to(device), load_judge()
    unet = training.unet(vae, towers, vae.config.scaling_factor)
    with building:
        assemble(vae, towers, unet, judge, folder / "weights")
    return unet
