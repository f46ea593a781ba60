"""What samplers, guidances and hooks ask of a model and of a guidance is what ours have."""

from __future__ import annotations

import inspect

import pytest
import torch

from turpentine.concepts import Concept
from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.models import Blend, ClassifierFree, Model, sample
from turpentine.models.interface import Combination, Guidance, TextToImage

CHURCH = Concept("church")


def test_a_model_of_each_family_is_one(sd1: Model, sd2: Model, sdxl: Model) -> None:
    for model in (sd1, sd2, sdxl):
        assert isinstance(model, TextToImage)
    assert not isinstance(sd1.pipeline, TextToImage)


@pytest.mark.parametrize("name", ["encode", "eps"])
def test_a_models_methods_take_what_the_protocol_says(name: str) -> None:
    own, promised = (inspect.signature(getattr(each, name)).parameters for each in (Model, TextToImage))
    assert [(each.name, each.kind, each.default) for each in own.values()] == [
        (each.name, each.kind, each.default) for each in promised.values()
    ]


@pytest.mark.parametrize("kind", ["plain", "sld", "negative", "blend"])
def test_guidances_begin_a_combination_that_gives_an_eps(sd1: Model, kind: str) -> None:
    sld, negative = (method()(sd1, CHURCH) for method in (SLD, NegativePrompt))
    parts = tuple((change.guidance, 0.5) for change in (sld, negative))
    guidances = {"plain": ClassifierFree(), "sld": sld.guidance, "negative": negative.guidance, "blend": Blend(parts)}
    guidance = guidances[kind]
    assert isinstance(guidance, Guidance)
    combination = guidance.start(sd1, 2, 4.0, 3)
    assert isinstance(combination, Combination)
    x = sd1.noise([0, 1])
    extra = None if combination.extra is None else torch.cat([x] * (len(combination.extra) // 2))
    assert combination(0, x if combination.needs_uncond else None, x, extra).shape == x.shape


def test_a_combination_that_needs_no_eps_of_the_empty_prompt_gets_none(sd1: Model) -> None:
    seen = []

    class Alone:
        extra, needs_uncond = None, False

        def start(self, model: TextToImage, rows: int, guidance_scale: float, steps: int) -> Alone:
            seen.append((rows, guidance_scale, steps))
            return self

        def __call__(self, index, uncond, cond, extra):
            seen.append((index, uncond, extra))
            return cond

    assert isinstance(Alone(), Guidance)
    assert isinstance(Alone(), Combination)
    texts, noise = sd1.encode(["a church"]), sd1.noise([0])
    steps = list(sample(sd1, texts, sd1.encode([""]), noise, steps=2, guidance_scale=4.0, guidance=Alone()))
    assert seen == [(1, 4.0, 2), (0, None, None), (1, None, None)]
    assert all(step.eps_uncond is None and torch.equal(step.eps, step.eps_cond) for step in steps)
