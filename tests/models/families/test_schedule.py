import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from turpentine.core.errors import UnknownName
from turpentine.models.families.alpha_bar import alpha_bar_at
from turpentine.models.families.schedule import (
    PARAMETRISATIONS,
    Betas,
    Epsilon,
    Flow,
    RectifiedFlow,
    Schedule,
    Velocity,
)

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize("solver", ["ddim", "dpm", "euler", "ddpm"])
def test_solvers_predict_eps_on_the_trained_betas(solver):
    trained = DDIMScheduler(**BETAS, prediction_type="v_prediction", clip_sample=True)
    scheduler = Betas(trained).solver(solver)
    assert scheduler.config.prediction_type == "epsilon"
    assert torch.equal(scheduler.alphas_cumprod, trained.alphas_cumprod)


@pytest.mark.parametrize("solver", ["ddim", "ddpm"])
def test_latents_are_not_clipped(solver):
    state = torch.full((1, 4, 2, 2), 5.0)
    scheduler = Betas(DDIMScheduler(**BETAS, clip_sample=True)).solver(solver)
    scheduler.set_timesteps(4)
    assert scheduler.step(torch.zeros_like(state), scheduler.timesteps[0], state).prev_sample.max() > 5


def test_an_unknown_solver_is_an_error_that_lists_them():
    with pytest.raises(UnknownName, match="ddim, dpm, euler, ddpm"):
        Betas(DDIMScheduler(**BETAS)).solver("plms")


@pytest.mark.parametrize("solver", ["ddim", "dpm", "euler", "ddpm"])
def test_a_schedule_that_ends_without_signal_gives_finite_steps(solver):
    scheduler = Betas(DDIMScheduler(**BETAS, rescale_betas_zero_snr=True, timestep_spacing="trailing")).solver(solver)
    scheduler.set_timesteps(4)
    state = torch.ones(1, 4, 2, 2) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        state = scheduler.step(torch.zeros_like(state), t, state).prev_sample
        assert state.isfinite().all()


def test_alpha_bar_at_whole_timesteps_is_the_table():
    table = DDIMScheduler(**BETAS).alphas_cumprod
    assert torch.equal(alpha_bar_at(table, torch.tensor([0, 500, 999])), table[[0, 500, 999]])
    torch.testing.assert_close(alpha_bar_at(table, torch.tensor([0.0, 500.0, 999.0])), table[[0, 500, 999]])


def test_alpha_bar_between_timesteps_is_that_of_the_euler_solver():
    euler = EulerDiscreteScheduler(**BETAS, timestep_spacing="linspace")
    euler.set_timesteps(7)
    assert any(t != t.round() for t in euler.timesteps)
    alpha_bar = alpha_bar_at(euler.alphas_cumprod, euler.timesteps)
    torch.testing.assert_close(((1 - alpha_bar) / alpha_bar).sqrt(), euler.sigmas[:-1], rtol=1e-4, atol=0)


VP, LINE = Betas(DDIMScheduler(**BETAS)), RectifiedFlow(1000)
PAIRS = [Epsilon(VP), Velocity(VP), Epsilon(LINE), Flow(LINE)]
every_pair = pytest.mark.parametrize("parametrisation", PAIRS, ids=["ε betas", "v betas", "ε flow", "u flow"])


def latents(seed: int, rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, 4, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("schedule", [VP, LINE], ids=["betas", "flow"])
def test_both_kinds_are_schedules(schedule):
    assert isinstance(schedule, Schedule)
    assert schedule.training_steps == 1000


@pytest.mark.parametrize(
    "parametrisation", PAIRS, ids=lambda one: f"{type(one).__name__}-{type(one.schedule).__name__}"
)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 999), min_size=2, max_size=2))
def test_noise_and_picture_come_back_out_of_what_a_perfect_network_gives(parametrisation, seed, times):
    x0, noise, t = latents(seed), latents(seed + 1), torch.tensor(times)
    x = parametrisation.schedule.add_noise(x0, noise, t)
    output = parametrisation.output(x0, noise, t)
    torch.testing.assert_close(parametrisation.eps(output, x, t), noise)
    torch.testing.assert_close(parametrisation.x0(output, x, t), x0, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "parametrisation", PAIRS, ids=lambda one: f"{type(one).__name__}-{type(one.schedule).__name__}"
)
@given(st.integers(0, 2**31), st.integers(1, 999))
def test_whatever_a_network_gives_x_is_the_mixture_of_its_picture_and_its_noise(parametrisation, seed, t):
    x, output = latents(seed), latents(seed + 1)
    eps, x0 = parametrisation.eps(output, x, t), parametrisation.x0(output, x, t)
    torch.testing.assert_close(parametrisation.schedule.add_noise(x0, eps, t), x)


@given(st.integers(0, 2**31), st.integers(0, 999))
def test_predictions_are_affine_in_the_output_so_that_guidance_means_the_same_in_all(seed, t):
    x, cond, uncond = latents(seed), latents(seed + 1), latents(seed + 2)
    for one in PAIRS:
        guided = one.eps(uncond + 4.0 * (cond - uncond), x, t)
        of_cond, of_uncond = one.eps(cond, x, t), one.eps(uncond, x, t)
        torch.testing.assert_close(guided, of_uncond + 4.0 * (of_cond - of_uncond))


@given(st.integers(0, 2**31), st.lists(st.integers(1, 999), min_size=2, max_size=2))
def test_a_difference_of_noises_is_the_gain_times_that_of_outputs(seed, times):
    x, one, other, t = latents(seed), latents(seed + 1), latents(seed + 2), torch.tensor(times)
    for each in PAIRS:
        apart = each.eps(one, x, t) - each.eps(other, x, t)
        torch.testing.assert_close(apart, each.gain(t, x) * (one - other))


@given(st.integers(0, 2**31), st.lists(st.integers(0, 999), min_size=2, max_size=2))
def test_noise_is_added_as_diffusers_adds_it(seed, times):
    x0, noise, t = latents(seed).float(), latents(seed + 1).float(), torch.tensor(times)
    torch.testing.assert_close(VP.add_noise(x0, noise, t), DDPMScheduler(**BETAS).add_noise(x0, noise, t))
    torch.testing.assert_close(VP.alpha(t) ** 2 + VP.sigma(t) ** 2, torch.ones(2))
    torch.testing.assert_close(VP.sigma(t) ** 2, VP.variance(t))


def test_the_thesis_and_the_papers_write_one_mixture():
    """Equation 1 of the thesis has a rise with the noise; DDPM and CAD write ᾱ, which falls, and a = 1 − ᾱ."""
    t = torch.arange(1000)
    a = 1 - DDPMScheduler(**BETAS).alphas_cumprod
    assert bool((a.diff() > 0).all())
    assert 0 < a[0] < 0.001
    assert 0.995 < a[-1] < 1  # not quite from 0 to 1, as the thesis has it
    x0, z = latents(0, 1000).float(), latents(1, 1000).float()
    rows = a.view(-1, 1, 1, 1)
    torch.testing.assert_close((1 - rows).sqrt() * x0 + rows.sqrt() * z, VP.add_noise(x0, z, t))


@given(st.integers(0, 2**31), st.integers(0, 999))
def test_velocity_is_that_of_diffusers(seed, t):
    x0, noise = latents(seed).float(), latents(seed + 1).float()
    theirs = DDPMScheduler(**BETAS).get_velocity(x0, noise, torch.tensor([t, t]))
    torch.testing.assert_close(Velocity(VP).output(x0, noise, t), theirs)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_picture_is_the_one_that_diffusers_steps_towards(prediction):
    scheduler = DDIMScheduler(**BETAS, prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(10)
    x, output = latents(0).float(), latents(1).float()
    for t in scheduler.timesteps:
        theirs = scheduler.step(output, t, x).pred_original_sample
        torch.testing.assert_close(PARAMETRISATIONS[prediction](VP).x0(output, x, t), theirs, rtol=1e-4, atol=1e-4)


def test_flow_is_that_of_diffusers_flow_matching():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(8)
    x0, noise = latents(0).float(), latents(1).float()
    for t, sigma, after in zip(scheduler.timesteps, scheduler.sigmas, scheduler.sigmas[1:], strict=False):
        torch.testing.assert_close(LINE.sigma(t), sigma)
        theirs = scheduler.scale_noise(x0, t[None], noise)
        torch.testing.assert_close(LINE.add_noise(x0, noise, t), theirs)
        output = Flow(LINE).output(x0, noise, t)
        x = LINE.add_noise(x0, noise, t)
        # From its own picture and noise, the step lands on the line's next point.
        x_next = scheduler.step(output, t, x, return_dict=False)[0]
        torch.testing.assert_close(
            (1 - after) * Flow(LINE).x0(output, x, t) + after * Flow(LINE).eps(output, x, t), x_next
        )


def test_rows_may_have_any_shape():
    packed = torch.zeros(2, 5, 7)
    alpha, sigma = LINE.scales(torch.tensor([250, 500]), packed)
    assert alpha.shape == sigma.shape == (2, 1, 1)
    assert sigma.flatten().tolist() == [0.25, 0.5]
