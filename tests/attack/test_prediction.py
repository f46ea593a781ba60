"""What is compared inside a loss is what the sampler takes in its step."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch

from turpentine.attack._prediction import SamplerPrediction
from turpentine.concepts import Concept
from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.models import sample
from turpentine.testing.toys import toy


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize("method", [SLD(warmup=0.0, momentum_scale=0.0), SLD(warmup=0.6), NegativePrompt(), None])
def test_a_training_forward_is_a_step_of_the_sampler(method: Any, family: str) -> None:
    """At its first step, where no momentum is; SLD that warms up is still warming up there."""
    model = toy(family)
    with ExitStack() as stack:
        if method is not None:
            stack.enter_context(method(model, Concept("church")).on(model))
        cond = model.encode(["a dog"])
        scale = 3.0 if method is not None else 1.0
        steps = sample(model, cond, model.encode([""]), model.noise([0]), steps=2, guidance_scale=scale)
        step = next(steps)
        predict = SamplerPrediction(model, 1, scale, 2)
        with torch.no_grad():
            eps = predict(step.x, torch.tensor([step.t]), cond)
            twice = predict(step.x.repeat(2, 1, 1, 1), torch.tensor([step.t] * 2), cond)
    torch.testing.assert_close(eps, step.eps)
    torch.testing.assert_close(twice[1:], eps, rtol=1e-3, atol=1e-3)
    assert predict.is_guided == (method is not None)
