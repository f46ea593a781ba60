"""Safe Latent Diffusion and the negative prompt: their equations, what they cost, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

from turpentine import methods
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.models import Model, count_rows, sample

CHURCH = Concept("church")
# Away from "medium", and every part of the equation counts within four steps, of which one warms up.
SETTINGS = {"scale": 3.0, "warmup": 0.25, "threshold": 0.05, "momentum_scale": 0.5, "momentum": 0.7}


# The equation


def plain_sld(predictions: list[Any], w: float, s: dict[str, float], of: int) -> list[Any]:
    """Safe Latent Diffusion as its paper has it, one number at a time in fp64.

    predictions: for each step the lists ε(x,∅), ε(x,p), ε(x,s). of: how many steps there are in all.
    """
    nu = [0.0] * len(predictions[0][0])
    steps = []
    for step, (empty, prompt, safety) in enumerate(predictions):
        eps = []
        for i in range(len(nu)):
            difference = prompt[i] - safety[i]
            phi = min(s["scale"] * abs(difference), 1.0)
            mu = phi if difference < s["threshold"] else 0.0
            gamma = mu * (safety[i] - empty[i]) + s["momentum_scale"] * nu[i]
            nu[i] = s["momentum"] * nu[i] + (1 - s["momentum"]) * gamma
            guidance = prompt[i] - empty[i]
            if step >= round(s["warmup"] * of):
                guidance -= gamma
            eps.append(empty[i] + w * guidance)
        steps.append(eps)
    return steps


@pytest.mark.parametrize("name", [*SLD.variants, "own"])
def test_a_run_is_the_papers_equation(sd1: Model, name: str) -> None:
    settings = {**SLD.variants.get(name, SETTINGS)}
    random = torch.Generator().manual_seed(0)
    shape = (18, 3, 2, 4, 2, 2)  # steps, predictions, then latents; longer than any warm-up
    predictions = torch.randn(shape, generator=random, dtype=torch.float64)
    run = SLD(**settings).guidance((CHURCH,)).start(sd1, 2, 6.5, 50)
    ours = torch.stack([run(index, *each) for index, each in enumerate(predictions)])
    plain = torch.tensor(plain_sld(predictions.flatten(2).tolist(), 6.5, settings, 50), dtype=torch.float64)
    torch.testing.assert_close(ours.flatten(1), plain, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_whole_picture_is_sampled_by_the_equation(sd1: Model) -> None:
    """Against the pipeline's own parts: its text encoder, its denoiser row by row, and diffusers' DDIM."""
    pipe, w = sd1.pipeline, 4.0
    told = [pipe.encode_prompt(text, "cpu", 1, False)[0] for text in ("", "a dog", "church")]
    ddim = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    ddim.set_timesteps(4)
    x, seen = sd1.noise([5]), []
    for t in ddim.timesteps:
        seen.append([pipe.unet(x, t, text).sample.double().flatten().tolist() for text in told])
        eps = torch.tensor(plain_sld(seen, w, SETTINGS, 4)[-1]).reshape(x.shape)
        x = ddim.step(eps, t, x).prev_sample
    with SLD(**SETTINGS)(sd1, CHURCH).on(sd1):
        assert (_latents(sd1, w) - x).norm() < 1e-5 * x.norm()
    assert (_latents(sd1, w) - x).norm() > 1e-3 * x.norm()


def _latents(model: Model, guidance_scale: float) -> Any:
    cond, uncond, noise = model.encode(["a dog"]), model.encode([""]), model.noise([5])
    return list(sample(model, cond, uncond, noise, steps=4, guidance_scale=guidance_scale))[-1].x_next


def test_a_negative_prompt_is_the_samplers_own(sd1: Model) -> None:
    with NegativePrompt()(sd1, CHURCH).on(sd1):
        ours = sd1.generate("a dog", steps=3)[0]
    assert ours.tobytes() == sd1.generate("a dog", steps=3, negative_prompt="church")[0].tobytes()
    assert ours.tobytes() != sd1.generate("a dog", steps=3)[0].tobytes()


def test_half_a_negative_prompt_is_half_way_from_the_empty_one(sd1: Model) -> None:
    change = NegativePrompt()(sd1, CHURCH).scaled(0.25)
    uncond, cond, extra = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    mixed = 0.25 * extra + 0.75 * uncond
    torch.testing.assert_close(change.start(sd1, 2, 5.0, 1)(0, uncond, cond, extra), mixed + 5 * (cond - mixed))


# Settings


def test_the_presets_are_the_published_ones() -> None:
    published = {
        "sld-weak": (200, 15, 0, 0, 0),
        "sld-medium": (1000, 10, 0.01, 0.3, 0.4),
        "sld-strong": (2000, 7, 0.025, 0.5, 0.7),
        "sld-max": (5000, 0, 1.0, 0.5, 0.7),
    }
    for name, (scale, warmup, *rest) in published.items():
        settings = SLD.variants[name]
        assert [each for key, each in settings.items() if key != "warmup"] == [scale, *rest]
        assert settings["warmup"] == pytest.approx(warmup / 50)
    assert SLD(**SLD.variants["sld-medium"]) == SLD()
    assert methods.SLD is SLD and methods.NegativePrompt is NegativePrompt


@pytest.mark.parametrize(
    ("steps", "warmups"),
    [
        (50, {"sld-weak": 15, "sld-medium": 10, "sld-strong": 7, "sld-max": 0}),
        (20, {"sld-weak": 6, "sld-medium": 4, "sld-strong": 3, "sld-max": 0}),
    ],
)
@pytest.mark.parametrize("name", SLD.variants)
def test_the_warm_up_is_a_share_of_the_steps(sd1: Model, name: str, steps: int, warmups: dict[str, int]) -> None:
    uncond, cond, concept = torch.randn(3, 1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    run = SLD(**SLD.variants[name]).guidance((CHURCH,)).start(sd1, 1, 5.0, steps)
    plain = uncond + 5.0 * (cond - uncond)
    alone = [torch.equal(run(step, uncond, cond, concept), plain) for step in range(steps)]
    assert alone == [step < warmups[name] for step in range(steps)]


@pytest.mark.parametrize("method", [SLD(), NegativePrompt()])
def test_the_text_is_of_the_concepts_or_given(sd1: Model, method: Any) -> None:
    concepts = (CHURCH, Concept("ink", "style"))
    assert method(sd1, CHURCH).guidance.text == "church"
    assert method(sd1, concepts).guidance.text == "church, ink style"
    assert type(method)(text="a red car").guidance(concepts).text == "a red car"


def test_bad_settings_and_no_concept_are_refused(sd1: Model) -> None:
    bad: list[dict[str, Any]] = [
        {"scale": -1.0},
        {"scale": float("inf")},
        {"warmup": -0.1},
        {"warmup": 10.0},
        {"threshold": float("nan")},
        {"momentum_scale": -0.1},
        {"momentum": 1.0},
        {"text": " "},
    ]
    for settings in bad:
        with pytest.raises(BadArgument, match=next(iter(settings))):
            SLD(**settings)(sd1, CHURCH)
    with pytest.raises(BadArgument, match="text is empty"):
        NegativePrompt(text="")(sd1, CHURCH)
    with pytest.raises(EmptyConcept, match="no concept"):
        SLD()(sd1, [])


# Cost


@pytest.mark.parametrize(("method", "rows"), [(SLD(), 3), (NegativePrompt(), 2)])
def test_all_rows_of_a_step_share_a_call(sd1: Model, method: Any, rows: int) -> None:
    with method(sd1, CHURCH).on(sd1), count_rows(sd1) as count:
        sd1.generate("a dog", seeds=range(3), steps=2)
    assert (count.calls, count.rows) == (2, 2 * 3 * rows)


def test_the_concept_is_told_the_pictures_size_too(sdxl: Model) -> None:
    sizes = []
    hook = sdxl.denoiser.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(kwargs["added_cond_kwargs"]["time_ids"]), with_kwargs=True
    )
    with SLD()(sdxl, CHURCH).on(sdxl):
        sdxl.generate(["a dog", "a cat"], seeds=[0, 1], steps=1, size=(48, 64))
    hook.remove()
    assert sizes[0].tolist() == [[48, 64, 0, 0, 48, 64]] * 6
