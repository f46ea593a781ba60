"""Partial editing against plain formulas and plain sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from turpentine.attack.partial_editing import SEEDS, PartialEditing
from turpentine.attack.trial import Trial
from turpentine.concepts import Concept
from turpentine.models import Artefact, sample
from turpentine.testing.contracts.attack import CoinJudge
from turpentine.testing.toys import toy


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_it_draws_on_from_noised_pictures(family: str) -> None:
    model = toy(family)
    references = model.generate("a church", seeds=[0], steps=2)
    trial = Trial(steps=4, pictures=2)
    outcome = PartialEditing(strength=0.5)(model, "church", references=references, judge=CoinJudge(), trial=trial)
    assert isinstance(outcome.artefact, Artefact) and outcome.artefact.latents is not None
    assert (outcome.artefact.first, outcome.artefact.steps, outcome.spent.forward) == (2, 4, 0)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    bar = torch.cumprod(1 - betas, 0)[251]
    noise = torch.stack([torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(SEEDS + n)) for n in range(2)])
    latents = bar.sqrt() * model.encode_image(references) + (1 - bar).sqrt() * noise
    torch.testing.assert_close(outcome.artefact.latents, latents, rtol=1e-4, atol=1e-5)
    cond, uncond = model.encode([Concept("church").prompts[0]]), model.encode([""])
    *_, last = sample(model, cond, uncond, latents[:1], steps=4, guidance_scale=4.0, first=2)
    pictures = (np.asarray(each, dtype=float) for each in (model.decode(last.x_next)[0], outcome.pictures[0]))
    np.testing.assert_allclose(*pictures, atol=1)


def test_the_whole_of_the_steps_begins_at_the_first() -> None:
    assert PartialEditing(strength=1.0).first(20) == 0
    assert PartialEditing(strength=0.01).first(20) == 19
