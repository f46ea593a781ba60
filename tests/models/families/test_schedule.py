from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from turpentine.core.errors import UnknownName
from turpentine.models import Moment, Window
from turpentine.models.families.schedule import alpha_bar_at, make_scheduler

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@given(st.integers(1, 100), st.lists(st.floats(0.01, 0.99), max_size=4, unique=True))
def test_windows_that_meet_share_no_step_and_leave_none_out(count, cuts):
    edges = [0.0, *sorted(cuts), 1.0]
    steps = [step for start, stop in pairwise(edges) for step in Window(start, stop).steps(count)]
    assert steps == list(range(count))


@pytest.mark.parametrize(
    ("window", "count", "steps"),
    [
        ((0, 0.1), 50, range(5)),
        ((0.1, 0.3), 50, range(5, 15)),
        ((0.6, 1), 20, range(12, 20)),
        ((0, 0.26), 50, range(13)),
    ],
)
def test_a_window_in_steps(window, count, steps):
    assert Window(*window).steps(count) == steps
    inside = [step for step in range(count) if Moment(step, count, slice(None)) in Window(*window)]
    assert inside == list(steps)


@pytest.mark.parametrize("solver", ["ddim", "dpm", "euler"])
def test_solvers_predict_eps_on_the_trained_betas(solver):
    trained = DDIMScheduler(**BETAS, prediction_type="v_prediction", clip_sample=True)
    scheduler = make_scheduler(trained, solver)
    assert scheduler.config.prediction_type == "epsilon"
    assert torch.equal(scheduler.alphas_cumprod, trained.alphas_cumprod)


def test_latents_are_not_clipped():
    state = torch.full((1, 4, 2, 2), 5.0)
    scheduler = make_scheduler(DDIMScheduler(**BETAS, clip_sample=True), "ddim")
    scheduler.set_timesteps(4)
    assert scheduler.step(torch.zeros_like(state), scheduler.timesteps[0], state).prev_sample.max() > 5


def test_an_unknown_solver_is_an_error_that_lists_them():
    with pytest.raises(UnknownName, match="ddim, dpm, euler"):
        make_scheduler(DDIMScheduler(**BETAS), "plms")


@pytest.mark.parametrize("solver", ["ddim", "dpm", "euler"])
def test_a_schedule_that_ends_without_signal_gives_finite_steps(solver):
    scheduler = make_scheduler(DDIMScheduler(**BETAS, rescale_betas_zero_snr=True, timestep_spacing="trailing"), solver)
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
