"""What solvers take of a network's output, and differences of it, in every family."""

from __future__ import annotations

import pytest
import torch

from turpentine.erase.esd import ESD
from turpentine.models.predicting import Predicting
from turpentine.testing.toys import toy

FOLLOWED = {"sd1": "eps", "sd2": "eps", "sd3": "output"}


@pytest.mark.parametrize("family", FOLLOWED)
def test_predictions_and_their_differences_agree(family: str) -> None:
    """x = α·x̂₀ + σ·ε̂; a difference of two predictions is one of outputs or of ε, whichever is asked for."""
    model = toy(family)
    assert isinstance(model, Predicting)
    x, conds = model.noise([0, 1]), [model.encode(["a dog", "a cat"]), model.encode(["", ""])]
    with torch.no_grad():
        outputs = [model.family.predict(x, torch.tensor(250), cond, {}) for cond in conds]
        noises = [model.eps(x, 250, cond) for cond in conds]
        followed = [model.followed(x, 250, cond) for cond in conds]
    theirs = {"eps": noises, "output": outputs}
    torch.testing.assert_close(followed, theirs[FOLLOWED[family]])
    for unit, (one, other) in theirs.items():
        apart = model.rescaled(followed[0] - followed[1], 250, unit)
        torch.testing.assert_close(apart, one - other, atol=1e-5, rtol=1e-4)
    x0 = model.family.parametrisation.x0(outputs[0], x, torch.tensor(250))
    torch.testing.assert_close(model.schedule.add_noise(x0, noises[0], 250), x)


def test_at_pure_noise_the_velocity_says_more_than_the_noise() -> None:
    model = toy("sd3")
    x, cond = model.noise([0]), model.encode(["a dog"])
    with torch.no_grad():
        assert torch.equal(model.eps(x, 1000, cond), x)
        assert not torch.equal(model.followed(x, 1000, cond), model.followed(x, 1000, model.encode([""])))


def test_a_perfect_prediction_is_the_noise_or_the_way_to_it() -> None:
    for family, is_flow in (("sd2", False), ("sd3", True)):
        model = toy(family)
        x0, noise = model.noise([0]), model.noise([1])
        assert torch.equal(model.perfect(x0, noise, 250), noise - x0 if is_flow else noise)


def test_esds_target_in_v_is_its_target_in_eps() -> None:
    """ESD's target is linear: made of velocities it is the velocity of the target that is made of noises."""
    model, x = toy("sd3"), toy("sd3").noise([0])
    with torch.no_grad():
        v = [model.followed(x, 600, model.encode([text])) for text in ("", "a church", "")]
    flow = model.family.parametrisation
    eps = [flow.eps(each, x, torch.tensor(600)) for each in v]
    method = ESD(eta=2.0)
    torch.testing.assert_close(flow.eps(method.target(*v), x, torch.tensor(600)), method.target(*eps))
