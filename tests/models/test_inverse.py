"""A step of DDIM backwards undoes what the sampler did, in every family."""

from __future__ import annotations

import pytest
import torch

from turpentine.models import sample
from turpentine.models.inverse import inverse_steps
from turpentine.testing.toys import TOYS, toy


@pytest.mark.parametrize("family", TOYS)
def test_a_step_backwards_undoes_a_step_of_the_sampler(family: str) -> None:
    """With the noise that the sampler took, where it began is a·z + b·ε of where it ended."""
    model = toy(family)
    backwards = {step.index: step for step in inverse_steps(model, 4)}
    empty = model.encode([""])
    for step in sample(model, empty, empty, model.noise([0]), steps=4, guidance_scale=1.0):
        inverse = backwards[step.index]
        assert inverse.t == step.t
        torch.testing.assert_close(inverse.a * step.x_next + inverse.b * step.eps, step.x, rtol=1e-4, atol=1e-4)
