"""The transformer's stage (`train.flow`, `train.transformer`) against its equations, and the transformer that ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from turpentine.emoji import WEIGHTS
from turpentine.emoji.judge_network import ANSWERS, load_judge
from turpentine.emoji.mmdit_model import mmdit_pipeline
from turpentine.emoji.towers import LENGTH, load_towers
from turpentine.emoji.train import flow
from turpentine.emoji.train.denoiser import LatentCache
from turpentine.emoji.train.loop import StageSchedule
from turpentine.emoji.train.presets import Stage, TransformerPreset
from turpentine.emoji.train.transformer import train_transformer


class Still(torch.nn.Module):
    """A transformer that predicts no velocity, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, context, pooled, t):
        self.seen = x, context, pooled, t
        return type("Output", (), {"sample": 0 * x + self.weight})()


def test_the_loss_is_the_squared_error_of_the_velocity_between_noise_and_picture() -> None:
    random = torch.Generator().manual_seed(0)
    mean = torch.randn(3, 4, 2, 2, generator=random)
    cached = LatentCache(
        mean, torch.zeros_like(mean), torch.tensor([1, 1, 1]), torch.randn(2, LENGTH, 6), torch.randn(2, 5)
    )
    network = Still()
    loss = flow.loss(network, cached, 0.5, 64)
    batch = loss.draw(np.random.default_rng(3))
    value = loss.value(batch)
    x, context, pooled, t = network.seen
    sigma = (t / 1000).view(-1, 1, 1, 1)
    # x = (1 − σ) x₀ + σ ε and v = ε − x₀: what it is at σ = 0 along v is the picture, at σ = 1 the noise.
    pictures = x - sigma * batch["velocity"]
    latents = 0.5 * mean
    assert all(any(torch.allclose(p, latent, atol=1e-5) for latent in latents) for p in pictures)
    torch.testing.assert_close(value, (batch["velocity"] ** 2).mean())
    assert context.shape == (64, 2 * LENGTH, 6) and (context[:, LENGTH:] == 0).all() and pooled.shape == (64, 5)
    # σ is logit-normal: its logit has mean 0 and deviation 1.
    logit = torch.logit(t / 1000)
    assert logit.mean().abs() < 0.05 and abs(logit.std() - 1) < 0.1


def tiny() -> TransformerPreset:
    stage = Stage(4, StageSchedule(updates=2, lr=1e-2, warmup=1, ema=0.5))
    return TransformerPreset(2, 2, 8, 16, stage, replace(stage, schedule=replace(stage.schedule, seed=1)))


def test_a_trained_transformer_goes_on_from_what_is_done(tmp_path: Path) -> None:
    vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae").eval()
    pair = load_towers(WEIGHTS), load_towers(WEIGHTS)
    first = train_transformer(tiny(), tmp_path, lambda line: None, vae, pair)
    again = train_transformer(tiny(), tmp_path, (said := []).append, vae, pair)
    assert said == ["flow: trained already", "finish: trained already"]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


@pytest.fixture(scope="module")
def pipe():
    pipe = mmdit_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_the_transformer_that_ships_draws_what_its_caption_says(pipe) -> None:
    prompts = ["a church", "a dog", "a truck in ink style", "an owl on a red background"]
    noise = torch.stack([torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(n)) for n in range(len(prompts))])
    images = pipe(prompts, latents=noise, num_inference_steps=10, guidance_scale=4.0).images
    answers = load_judge().probabilities(images)
    labels = {a: [ANSWERS[a][i] for i in values.argmax(1).tolist()] for a, values in answers.items()}
    assert labels["object"] == ["church", "dog", "truck", "owl"]
    assert labels["style"][2] == "ink" and labels["colour"][3] == "red"


def test_a_saved_transformer_is_diffusers_own(pipe, tmp_path: Path) -> None:
    from diffusers import StableDiffusion3Pipeline

    pipe.save_pretrained(tmp_path, safe_serialization=True)
    read = StableDiffusion3Pipeline.from_pretrained(tmp_path, text_encoder_3=None, tokenizer_3=None)
    assert all(
        torch.equal(a, b) for a, b in zip(pipe.transformer.parameters(), read.transformer.parameters(), strict=True)
    )
    assert read.vae.config.shift_factor == 0.0
