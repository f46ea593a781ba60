"""Latent inversion against a transcription, and the likelihood of latents against samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from turpentine.attack._inversion import likelihood_distance, nll, psnr
from turpentine.attack.attacked import Attacked
from turpentine.attack.latent_inversion import LatentInversion
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.concepts import Concept
from turpentine.erase.guidance import SLD
from turpentine.models import Artefact, Model
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import toy

TRIAL = Trial(steps=5, pictures=2, curve_pictures=1)


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


def inverted(model: Model, *changes: Any, trial: Trial = TRIAL, **settings: Any) -> Attacked:
    references = model.generate("a church", seeds=[0, 1], steps=5)
    attack = LatentInversion(**{"inverted": 2, "inner": 3, "likelihood": False, **settings})
    return attack(Victim(model, changes), "church", references=references, judge=CoinJudge(), trial=trial)


def latents_of(outcome: Attacked) -> torch.Tensor:
    assert isinstance(outcome.artefact, Artefact) and outcome.artefact.latents is not None
    assert outcome.artefact.prompts == ("",)
    return outcome.artefact.latents


def transcribed(model: Model, inner: int) -> torch.Tensor:
    """As TINA writes it, one picture at a time, on the pipeline's own network; the last iterate and no other."""
    pipeline = toy("sd1").pipeline
    ids = pipeline.tokenizer([""], padding="max_length", max_length=16, return_tensors="pt").input_ids
    empty = pipeline.text_encoder(ids)[0].detach()
    bars = pipeline.scheduler.alphas_cumprod
    whole = []
    for picture in model.generate("a church", seeds=[0, 1], steps=5):
        pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        z = pipeline.vae.encode(pixels).latent_dist.mean.detach() * pipeline.vae.config.scaling_factor
        for t in (1, 201, 401, 601, 801):
            now, before = bars[t], bars[t - 200] if t >= 200 else bars[0]
            a = (now / before).sqrt()
            b = (1 - now).sqrt() - (now * (1 - before) / before).sqrt()
            guess = (a * z + b * pipeline.unet(z, t, empty).sample).detach().requires_grad_()
            adam = torch.optim.AdamW([guess], lr=1e-3)
            for _ in range(inner):
                loss = ((a * z + b * pipeline.unet(guess, t, empty).sample - guess) ** 2).sum()
                adam.zero_grad()
                loss.backward()
                adam.step()
            z = guess.detach()
        whole.append(z)
    return torch.cat(whole)


def test_it_is_plain_ddim_inversion_without_inner_steps(model: Model) -> None:
    torch.testing.assert_close(latents_of(inverted(model, inner=0)), transcribed(model, 0), rtol=1e-4, atol=1e-4)


def test_it_is_the_published_search_where_that_gets_better_at_each_step(model: Model) -> None:
    """From further off than a small network's plain inversion, each step of AdamW at 1e-3 is a gain."""
    outcome = inverted(model, inner=2, lr=1e-5)
    torch.testing.assert_close(latents_of(outcome), transcribed_with(model, 2, 1e-5), rtol=1e-4, atol=1e-4)


def transcribed_with(model: Model, inner: int, lr: float) -> torch.Tensor:
    original = torch.optim.AdamW
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "AdamW", lambda weights, **how: original(weights, **{**how, "lr": lr}))
        return transcribed(model, inner)


def test_no_inner_step_makes_it_worse(model: Model) -> None:
    """Trap: a rate that is too high walks away from the fixed point, where plain inversion was better."""
    plain, wild = (inverted(model, inner=inner, lr=10.0).measurements["residual"] for inner in (0, 2))
    assert wild == pytest.approx(plain, rel=1e-3)
    assert inverted(model, inner=4).measurements["residual"] <= plain


def test_psnr_is_of_new_pictures_and_given_ones(model: Model) -> None:
    outcome = inverted(model, inner=0)
    pairs = zip(model.generate("a church", seeds=[0, 1], steps=5), outcome.pictures, strict=True)
    assert outcome.measurements["PSNR"] == pytest.approx(sum(psnr(*pair) for pair in pairs) / 2)


def test_a_guidance_is_inverted_too(model: Model) -> None:
    guidance = SLD()(model, Concept("church"))
    plain, guided = inverted(model), inverted(model, guidance)
    assert guided.spent.forward == 3 * plain.spent.forward
    assert not torch.equal(latents_of(guided), latents_of(plain))


def test_the_likelihood_is_that_of_unit_noise() -> None:
    noise = torch.randn(2000, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = -torch.distributions.Normal(0, 1).log_prob(noise.double()).flatten(1).sum(1)
    torch.testing.assert_close(nll(noise), expected)
    assert nll(noise).mean().item() == pytest.approx(256 * (1 + math.log(2 * math.pi)) / 2, abs=1)
    assert nll(noise).std().item() == pytest.approx(math.sqrt(128), abs=0.6)


def test_the_likelihood_distance_is_of_squared_wasserstein_distances() -> None:
    """Against the distance of sorted samples, which is W₂² of two sets of one size whatever they are."""
    dice = np.random.default_rng(0)
    size, count = 256, 20_000
    noise = dice.normal(size * (1 + math.log(2 * math.pi)) / 2, math.sqrt(size / 2), count)
    concept, own = (dice.normal(mean, deviation, count) for mean, deviation in ((500.0, 30.0), (400.0, 20.0)))
    squares = [np.mean((np.sort(each) - np.sort(noise)) ** 2) for each in (concept, own)]
    distance = likelihood_distance(torch.from_numpy(concept), torch.from_numpy(own), size)
    assert distance == pytest.approx(squares[0] / squares[1], rel=0.02)


def test_it_says_how_likely_its_latents_are_beside_the_models_own(model: Model) -> None:
    outcome = inverted(model, likelihood=True, inner=1)
    assert {"likelihood distance", "NLL per number", "NLL per number of own pictures"} <= outcome.measurements.keys()
    assert "likelihood distance" in outcome.summary() and "PSNR" in outcome.summary()
    torch.testing.assert_close(latents_of(outcome), latents_of(inverted(model, inner=1)), rtol=1e-4, atol=1e-5)
    cost = LatentInversion(inverted=2, inner=1).cost(TRIAL)
    assert (cost.forward, cost.backward) == (outcome.spent.forward, outcome.spent.backward)


def test_pictures_of_another_size_are_fitted(model: Model) -> None:
    references = [Image.new("RGB", (70, 50), "red")]
    attack = LatentInversion(inverted=1, inner=0, likelihood=False)
    outcome = attack(model, "church", references=references, judge=CoinJudge(), trial=TRIAL)
    assert latents_of(outcome).shape == (1, 4, 8, 8)


def test_psnr_is_of_the_mean_square() -> None:
    one, other = Image.new("L", (4, 4), 100), Image.new("L", (4, 4), 110)
    assert psnr(one, other) == pytest.approx(20 * math.log10(255 / 10))
