"""The classifier-guided probe, against the sampler's formula written out."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from attack.searches import NEVER, references, search_of, stages_of
from torch import Tensor

from turpentine.attack._latent_classifier import LatentClassifier, fitted, led
from turpentine.attack.classifier_probe import PUBLISHED, ClassifierProbe
from turpentine.attack.trial import Trial
from turpentine.core.errors import BadArgument
from turpentine.models import Artefact, Model, sample
from turpentine.models.sampler import started

TRIAL = Trial(steps=4, pictures=2, guidance_scale=3.0)


class Linear(LatentClassifier):
    """p = 1/(1 + exp(-w·x)), whose gradient everyone knows."""

    def __init__(self, w: Tensor) -> None:
        super().__init__(w.numel())
        self.w = w

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return (x * self.w).flatten(1).sum(1)


def test_the_published_scales_are_24() -> None:
    assert len(PUBLISHED) == 24 and PUBLISHED[:2] == (25.0, 32.0) and PUBLISHED[-1] == 186.0


def test_steps_are_moved_along_the_gradient_as_the_formula_says(sd1: Model) -> None:
    """DDIM by hand: x' = α'(x - σε)/α + σ'ε with ε less σ·s·(1 - p)·w."""
    w = torch.randn(sd1.latent_shape(), generator=torch.Generator().manual_seed(1)) / 8
    cond, uncond, noise = sd1.encode(["a church", "a dog"]), sd1.encode([""]), sd1.noise([0, 1])
    found = led(sd1, Linear(w), 3.0, cond, uncond, noise, TRIAL)
    x, times = noise, started(sd1, "ddim", 4).timesteps.tolist()
    for t, after in pairwise(times):
        empty, own = (sd1.eps(x, t, each) for each in (uncond.repeat(2), cond))
        eps = empty + 3.0 * (own - empty)
        alpha, sigma = sd1.schedule.alpha(torch.tensor(t)), sd1.schedule.sigma(torch.tensor(t))
        p = 1 / (1 + (-(x * w).flatten(1).sum(1)).exp())
        eps = eps - sigma * 3.0 * (1 - p)[:, None, None, None] * w
        then = torch.tensor(after)
        x = sd1.schedule.alpha(then) * (x - sigma * eps) / alpha + sd1.schedule.sigma(then) * eps
    torch.testing.assert_close(found, x.float(), rtol=1e-3, atol=1e-4)


def test_with_a_scale_of_0_it_is_plain_sampling(sd1: Model) -> None:
    cond, uncond, noise = sd1.encode(["a church"]), sd1.encode([""]), sd1.noise([0])
    *_, last = sample(sd1, cond, uncond, noise, steps=4, guidance_scale=3.0, last=3)
    zero = led(sd1, LatentClassifier(noise[0].numel()), 0.0, cond, uncond, noise, TRIAL)
    torch.testing.assert_close(zero, last.x_next, rtol=1e-5, atol=1e-6)


def test_a_classifier_learns_to_tell_latents_apart_and_its_slope_leads_there(sd1: Model) -> None:
    dice = torch.Generator().manual_seed(0)
    direction = torch.randn(sd1.latent_shape(), generator=dice)
    noise = 0.1 * torch.randn((2, 20, *direction.shape), generator=dice)
    attack = ClassifierProbe(updates=80, lr=1e-3)
    classifier, loss = fitted(sd1, direction + noise[0], -direction + noise[1], attack, seed=0)
    assert loss < 0.2
    alpha, sigma = torch.tensor(0.9), torch.tensor(0.44)
    assert (classifier.slope(torch.zeros(1, *direction.shape), alpha, sigma)[0] * direction).sum() > 0
    again, _ = fitted(sd1, direction + noise[0], -direction + noise[1], attack, seed=0)
    assert all(torch.equal(*pair) for pair in zip(classifier.parameters(), again.parameters(), strict=True))


def test_the_best_scale_of_the_search_makes_the_latents(sd1: Model) -> None:
    attack = ClassifierProbe(scales=(2.0, 9.0), per_candidate=1, updates=1, batch=2, stages=2)
    stages = stages_of(attack, search_of(sd1, shows=NEVER))
    assert [each.measurements["scale"] for each in stages] == [2.0, 2.0]  # none had a hit, and the first counts
    assert stages[0].artefact == stages[1].artefact
    artefact = stages[-1].artefact
    assert isinstance(artefact, Artefact) and artefact.first == 1 and artefact.latents is not None
    assert len(artefact.latents) == 2


def test_what_it_cannot_do_is_refused(sd1: Model) -> None:
    given = {"references": references(sd1), "judge": NEVER}
    with pytest.raises(BadArgument, match="draw with 2 or more"):
        ClassifierProbe()(sd1, "church", trial=Trial(steps=1), **given)
    with pytest.raises(BadArgument, match="neutral words are all in 'church'"):
        ClassifierProbe(updates=1, neutral=("church",))(sd1, "church", trial=TRIAL, **given)
