"""FADE and the depth score: 0 for a model and itself, their signs, and independent transcriptions."""

from __future__ import annotations

import pytest
import torch

from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.audit.deep import (
    SEED,
    TIMES,
    ModuleDepth,
    deep_rows,
    denoising_losses,
    depth,
    depth_score,
    fade,
    harm,
    latents_of,
)
from turpentine.edits import Edit
from turpentine.models import Model
from turpentine.models.hooks import count_rows
from turpentine.testing.state import weights_hash
from turpentine.testing.toys import toy

TRIAL = Trial(steps=2, batch_size=5)
PROMPTS, SEEDS = ("a church", "a dog"), (1, 2)


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


def moved(model: Model, size: float, seed: int = 0) -> Victim:
    name = "unet.conv_out.weight"
    noise = torch.randn(model.parameter(name).shape, generator=torch.Generator().manual_seed(seed))
    return Victim(model, (Edit({name: size * noise}),))


def test_losses_are_those_of_the_equation_whatever_the_batch(model: Model) -> None:
    latents = latents_of(Victim(model), PROMPTS, SEEDS, TRIAL)
    losses = denoising_losses(Victim(model), latents, PROMPTS, 3, 4)
    assert losses.shape == (3, 2) and (
        losses == pytest.approx(denoising_losses(Victim(model), latents, PROMPTS, 3, 99))
    )
    t = int(1.5 / 3 * model.schedule.training_steps)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(SEED + 1))
    alpha, sigma = (
        each.reshape(()) for each in (model.schedule.alpha(torch.tensor([t])), model.schedule.sigma(torch.tensor([t])))
    )
    with torch.no_grad():
        eps = model.eps(alpha * latents + sigma * noise, t, model.encode(list(PROMPTS)))
    assert losses[1] == pytest.approx((noise - eps).square().mean((1, 2, 3)).numpy(), rel=1e-4)


def test_fade_is_0_for_a_model_and_itself_and_grows_with_the_distance(model: Model) -> None:
    before = weights_hash(model)
    own = Victim(model)
    assert fade(own, own, PROMPTS, SEEDS, TRIAL, times=2)[:] == (0.0, 0.0, 0.0)
    near, far = (fade(own, moved(model, size), PROMPTS, SEEDS, TRIAL, times=2).value for size in (0.1, 1.0))
    assert 0 < abs(near) < far
    assert weights_hash(model) == before


def test_the_depth_of_the_oracle_is_1_and_that_of_the_original_0(model: Model) -> None:
    oracle, original = moved(model, 1.0), Victim(model)
    deep = model.sites.only(kind="resnet", level="module")
    as_oracle = depth(oracle, oracle, original, PROMPTS, SEEDS, TRIAL, sites=deep, times=2)
    assert [each.site for each in as_oracle] == [site.name for site in deep]
    assert all(each.oracle == each.edited for each in as_oracle)
    assert all(
        each.edited == pytest.approx(0, abs=1e-5)
        for each in depth(original, oracle, original, PROMPTS, SEEDS, TRIAL, sites=deep, times=2)
    )


def test_outputs_of_another_model_change_what_the_original_predicts(model: Model) -> None:
    other = toy("sd1")
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in other.denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    modules = depth(Victim(model), Victim(other), Victim(model), PROMPTS, SEEDS, TRIAL, times=2)
    assert len(modules) > 10 and any(abs(each.oracle) > 1e-4 for each in modules)
    assert depth_score(modules) is None or depth_score(modules) == pytest.approx(0, abs=0.05)


def test_the_rows_told_beforehand_are_those_that_are_taken(model: Model) -> None:
    own, far = Victim(model), moved(model, 1.0)
    with count_rows(model) as count:
        for pair in ((own, far), (far, own), (own, own)):
            fade(*pair, PROMPTS, SEEDS, TRIAL)
        for donor in (own, far):
            harm(donor, own, PROMPTS, SEEDS, TRIAL)
    told = deep_rows(model, TRIAL, len(PROMPTS))
    modules = len(model.sites.only(component="denoiser", level="module"))
    whole = told + 2 * modules * TIMES * len(PROMPTS) // 2  # a row that begins at a module counts as half of one
    assert whole <= count.rows <= whole + 2  # each of both models may be tried for a row's memory


def test_the_score_counts_modules_by_what_the_oracle_lacks() -> None:
    modules = [ModuleDepth("a", 3.0, 1.5), ModuleDepth("b", 1.0, 9.0), ModuleDepth("c", -2.0, -9.0)]
    assert depth_score(modules) == (3 * 0.5 + 1 * 1) / 4
    assert depth_score([ModuleDepth("a", -1.0, 1.0), ModuleDepth("b", 0.009, 0.009)]) is None  # of no account
    assert depth_score([ModuleDepth("a", 1.0, -1.0)]) == 0.0
