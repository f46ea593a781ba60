import hashlib
from dataclasses import dataclass, field
from itertools import pairwise
from typing import get_args

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
)
from tiny import tiny_sd1, tiny_sd2_v

from turpentine.core.errors import BadArgument, UnsupportedModel
from turpentine.models import Conditioning, Model, count_rows, sample
from turpentine.models import solvers as named

SOLVERS = {
    "ddim": DDIMScheduler,
    "dpm": DPMSolverMultistepScheduler,
    "euler": EulerDiscreteScheduler,
    "ddpm": DDPMScheduler,
}
PROMPTS = ["a church", "a dog"]


def run(model, *, prompts=PROMPTS, uncond=("",), steps=4, guidance_scale=4.0, solver="ddim", guidance=None):
    return list(
        sample(
            model,
            model.encode(list(prompts)),
            model.encode(list(uncond)),
            model.noise(range(len(prompts))),
            steps=steps,
            guidance_scale=guidance_scale,
            solver=solver,
            guidance=guidance,
        )
    )


def fresh_noise(latents):
    """A generator for each row, seeded by the SHA-256 of its starting latent, as the sampler's docstring has it."""
    heads = [f"{torch.float32} {tuple(row.shape)} ".encode() + row.numpy().tobytes() for row in latents]
    seeds = [int(hashlib.sha256(head).hexdigest()[:16], 16) for head in heads]
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_the_names_of_solvers_are_those_that_there_are():
    assert get_args(named.Solver) == tuple(named.SOLVERS) == tuple(SOLVERS)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("family", ["sd1", "sd2"])
@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
def test_it_agrees_with_the_pipeline(family, solver, guidance_scale, request):
    model = request.getfixturevalue(family)
    scheduler = SOLVERS[solver].from_config(model.pipeline.scheduler.config)
    parts = {**model.pipeline.components, "scheduler": scheduler}
    pipeline = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    noise = model.noise([0, 1])
    how = {"num_inference_steps": 4, "guidance_scale": guidance_scale, "output_type": "latent"}
    expected = pipeline(PROMPTS, latents=noise, generator=fresh_noise(noise), **how).images
    latents = run(model, solver=solver, guidance_scale=guidance_scale)[-1].x_next
    torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)


def test_it_agrees_with_the_sdxl_pipeline(sdxl):
    sdxl.pipeline.set_progress_bar_config(disable=True)
    expected = sdxl.pipeline(
        PROMPTS, latents=sdxl.noise([0, 1]), num_inference_steps=4, guidance_scale=4.0, output_type="latent"
    ).images
    torch.testing.assert_close(run(sdxl, solver="euler")[-1].x_next, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_step_holds_what_the_model_said(family, solver, request):
    model = request.getfixturevalue(family)
    cond, uncond = model.encode(PROMPTS), model.encode(["", ""])
    steps = run(model, solver=solver)
    assert [step.index for step in steps] == [0, 1, 2, 3]
    for step, after in pairwise(steps):
        assert step.t > after.t
        assert torch.equal(step.x_next, after.x)
    with torch.no_grad():
        for step in steps:
            t = torch.tensor(step.t)
            torch.testing.assert_close(model.eps(step.x, t, cond), step.eps_cond, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(model.eps(step.x, t, uncond), step.eps_uncond, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(step.eps_uncond + 4 * (step.eps_cond - step.eps_uncond), step.eps)


@pytest.mark.parametrize("solver", SOLVERS)
def test_x_has_unit_variance_at_the_start_with_every_solver(sd1, solver):
    first = next(iter(run(sd1, solver=solver)))
    torch.testing.assert_close(first.x, sd1.noise([0, 1]), rtol=0.01, atol=0.01)


def test_ddpm_is_the_papers_reverse_step(sd1):
    """x_(t−1) = μ(x_t, x₀) + σ_t·z, by equations 6 and 7 of arXiv 2006.11239, for the steps that are taken."""
    noise = sd1.noise([0, 1])
    draws = fresh_noise(noise)
    alpha_bar = sd1.pipeline.scheduler.alphas_cumprod.double()
    for step in run(sd1, solver="ddpm", steps=5):
        now = alpha_bar[step.t]
        last = alpha_bar[step.t - 200] if step.t >= 200 else torch.tensor(1.0, dtype=torch.float64)
        alpha = now / last
        x0 = (step.x.double() - (1 - now).sqrt() * step.eps.double()) / now.sqrt()
        mean = (last.sqrt() * (1 - alpha) * x0 + alpha.sqrt() * (1 - last) * step.x.double()) / (1 - now)
        sigma = ((1 - last) / (1 - now) * (1 - alpha)).sqrt()
        z = torch.stack([torch.randn(noise[0].shape, generator=draw) for draw in draws])
        torch.testing.assert_close(step.x_next.double(), mean + sigma * z, rtol=1e-4, atol=1e-4)
        assert sigma > 0.01 or step.index == 4


def test_ddpm_gives_two_prompts_of_one_seed_the_same_noise_and_two_seeds_others(sd1):
    def drawn(seeds):
        latents, cond = sd1.noise(seeds), sd1.encode(["a church"] * len(seeds))
        how = {"steps": 4, "guidance_scale": 1.0, "solver": "ddpm"}
        return list(sample(sd1, cond, sd1.encode([""]), latents, **how))[-1].x_next

    together = drawn([3, 3, 4])
    torch.testing.assert_close(together[0], together[1])
    torch.testing.assert_close(together[:1], drawn([3]), rtol=1e-4, atol=1e-5)
    assert (together[0] - together[2]).abs().mean() > 0.1


def test_ddpm_begins_at_the_beginning_only(sd1):
    with pytest.raises(BadArgument, match="ddpm cannot begin at step 1: only ddim can"):
        next(
            sample(
                sd1,
                sd1.encode(["a dog"]),
                sd1.encode([""]),
                sd1.noise([0]),
                steps=4,
                guidance_scale=1.0,
                solver="ddpm",
                first=1,
            )
        )


def test_one_call_a_step_and_no_more_rows_than_needed(sd1):
    with count_rows(sd1) as guided:
        run(sd1)
    with count_rows(sd1) as plain:
        steps = run(sd1, guidance_scale=1.0)
    assert (guided.calls, guided.rows, guided.grad_rows) == (4, 16, 0)
    assert (plain.calls, plain.rows) == (4, 8)
    assert all(step.eps_uncond is None and step.eps is step.eps_cond for step in steps)


def test_it_can_be_stopped_at_any_step(sd1):
    with count_rows(sd1) as count:
        for step in sample(sd1, sd1.encode(["a dog"]), sd1.encode([""]), sd1.noise([0]), steps=10, guidance_scale=4.0):
            if step.index == 2:
                break
    assert count.calls == 3
    assert sd1.moment is None


def test_what_it_yields_can_be_trained_on(sd1):
    step = run(sd1, steps=1)[0]
    assert not step.x.is_inference()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_out_of_range_are_an_error(sd1, steps):
    with pytest.raises(BadArgument, match="1 to 1000"):
        run(sd1, steps=steps)


def test_a_row_of_uncond_for_each_prompt(sd1):
    one, two = run(sd1, uncond=["a cat"]), run(sd1, uncond=["a cat", "a cat"])
    torch.testing.assert_close(one[-1].x_next, two[-1].x_next)
    assert not torch.allclose(one[-1].x_next, run(sd1)[-1].x_next)


@dataclass
class _Toward:
    """Follows its own prompt from step 2 on."""

    extra: Conditioning
    needs_uncond: bool = True
    seen: list = field(default_factory=list)

    def __call__(self, index, uncond, cond, extra):
        self.seen.append(index)
        return cond if index < 2 else extra


@dataclass(frozen=True)
class Toward:
    prompt: str
    runs: list = field(default_factory=list)

    def start(self, model, rows, guidance_scale, steps):
        self.runs.append(_Toward(model.encode([self.prompt]).repeat(rows)))
        return self.runs[-1]


def test_a_guidance_adds_rows_to_the_same_call_and_combines_them(sd1):
    guidance = Toward("a cat")
    with count_rows(sd1) as count:
        steps = run(sd1, guidance=guidance)
    assert (count.calls, count.rows) == (4, 4 * 2 * 3)
    assert guidance.runs[0].seen == [0, 1, 2, 3]
    cat = sd1.encode(["a cat", "a cat"])
    with torch.no_grad():
        for step in steps:
            expected = step.eps_cond if step.index < 2 else sd1.eps(step.x, int(step.t), cat)
            torch.testing.assert_close(step.eps, expected)


def test_each_run_of_a_guidance_begins_anew(sd1):
    guidance = Toward("a cat")
    sd1.generate("a dog", seeds=[0, 1, 2], steps=3, batch_size=2, guidance=guidance)
    assert [len(begun.extra) for begun in guidance.runs] == [2, 1]
    assert [begun.seen for begun in guidance.runs] == [[0, 1, 2]] * 2


SETTINGS = {
    "Karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "lu": {"use_lu_lambdas": True},
    "log-linear": {"interpolation_type": "log_linear"},
    "squared cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "squared cosine, trailing": {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"},
    "zero SNR, trailing": {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
    "linear, linspace": {"beta_schedule": "linear", "timestep_spacing": "linspace"},
    "ends at sigma_min": {"final_sigmas_type": "sigma_min"},
}
# What v-prediction cannot draw as diffusers does, by the solver.
REFUSED = {
    ("dpm", "Karras"): "use_karras_sigmas=True",
    ("dpm", "exponential"): "use_exponential_sigmas=True",
    ("dpm", "beta"): "use_beta_sigmas=True",
    ("dpm", "lu"): "use_lu_lambdas=True",
    ("euler", "log-linear"): "interpolation_type='log_linear'",
    **{(solver, "squared cosine, trailing"): "'squaredcos_cap_v2' betas leave less" for solver in SOLVERS},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("make", [tiny_sd1, tiny_sd2_v])
def test_every_schedule_draws_as_diffusers_does_or_is_refused_by_name(make, solver, setting):
    pipeline = make()
    pipeline.scheduler = SOLVERS[solver].from_config({**pipeline.scheduler.config, **SETTINGS[setting]})
    pipeline.set_progress_bar_config(disable=True)
    model = Model(pipeline)
    if make is tiny_sd2_v and (solver, setting) in REFUSED:
        with pytest.raises(UnsupportedModel, match=REFUSED[solver, setting]):
            run(model, prompts=["a church"], solver=solver, steps=5)
        return
    steps = run(model, prompts=["a church"], solver=solver, steps=5)
    if make is tiny_sd1 and solver in ("ddim", "ddpm") and setting == "zero SNR, trailing":
        return  # diffusers' own is NaN: ε says nothing of a picture without signal
    noise = model.noise([0])
    settings = {"num_inference_steps": 5, "guidance_scale": 4.0, "output_type": "latent"}
    expected = pipeline("a church", latents=noise, generator=fresh_noise(noise), **settings).images
    # Where no signal is left ε takes ᾱ for 2⁻²⁴, whose root stands beside x_t in DDPM's step.
    allowed = 1e-3 if (solver, setting) == ("ddpm", "zero SNR, trailing") else 2e-4
    assert (steps[-1].x_next - expected).norm() < allowed * expected.norm()
