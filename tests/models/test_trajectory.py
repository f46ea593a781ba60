import pytest
import torch

from turpentine.core.errors import EditError
from turpentine.models import Trajectory, count_rows, sample

PROMPTS = ["a church", "a dog", "a cat"]


def recorded(model, **settings):
    return Trajectory.record(model, PROMPTS, [0, 1, 2], **{"steps": 4, "guidance_scale": 3.0, **settings})


@pytest.mark.parametrize("solver", ["ddim", "euler"])
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_it_is_the_samplers_steps(family, solver, request):
    model = request.getfixturevalue(family)
    run = recorded(model, solver=solver)
    told = model.encode(PROMPTS), model.encode([""])
    steps = list(sample(model, *told, model.noise([0, 1, 2]), steps=4, guidance_scale=3.0, solver=solver))
    assert run.timesteps.tolist() == [step.t for step in steps]
    for name in ("x", "eps_cond", "eps_uncond"):
        assert torch.equal(getattr(run, name), torch.stack([getattr(step, name) for step in steps]))
    assert torch.equal(run.latents, steps[-1].x_next)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_what_it_holds_is_what_the_model_says_again(family, request):
    model = request.getfixturevalue(family)
    run = recorded(model)
    step, row = torch.tensor([0, 3, 2, 2, 1]), torch.tensor([2, 0, 1, 1, 2])
    points = run.at(step, row)
    cond, uncond = model.encode([PROMPTS[index] for index in row]), model.encode([""] * 5)
    with torch.no_grad():
        torch.testing.assert_close(model.eps(points.x, points.t, cond), points.eps_cond, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.eps(points.x, points.t, uncond), points.eps_uncond, rtol=1e-4, atol=1e-5)


def test_it_does_not_depend_on_the_batch(sd1):
    whole, parts = recorded(sd1), recorded(sd1, batch_size=2)
    assert torch.equal(whole.x[0], parts.x[0])
    torch.testing.assert_close(whole.eps_cond, parts.eps_cond, rtol=1e-4, atol=1e-5)
    assert parts.x.shape == (4, 3, 4, 8, 8)


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_it_costs_two_rows_a_step_and_has_both_predictions(sd1, guidance_scale):
    with count_rows(sd1) as count:
        run = recorded(sd1, guidance_scale=guidance_scale)
    assert count.rows == 2 * 4 * 3
    assert run.eps_uncond.shape == run.eps_cond.shape
    assert not torch.allclose(run.eps_uncond, run.eps_cond)


def test_points_are_pairs(sd1):
    run = recorded(sd1)
    points = run.at([0, 2], [1, 1])
    assert torch.equal(points.x, torch.stack([run.x[0, 1], run.x[2, 1]]))
    assert points.t.tolist() == [run.timesteps[0], run.timesteps[2]]
    assert points.t.dtype == torch.int64


def test_it_can_be_trained_on(sd1):
    points = recorded(sd1).at([0], [0])
    name = "unet.conv_in.weight"
    weight = sd1.parameter(name).clone().requires_grad_()
    eps = sd1.eps(points.x, points.t, sd1.encode(["a dog"]), parameters={name: weight})
    (eps - points.eps_uncond).square().mean().backward()
    assert weight.grad is not None and weight.grad.isfinite().all()


def test_progress(sd1):
    calls = []
    recorded(sd1, steps=2, batch_size=2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(2, 6), (4, 6), (5, 6), (6, 6)]


def test_saved_and_loaded_it_is_the_same(sd1, tmp_path):
    run = recorded(sd1)
    run.save(tmp_path / "run.safetensors")
    again = Trajectory.load(tmp_path / "run.safetensors")
    assert (again.prompts, again.seeds, len(again)) == (tuple(PROMPTS), (0, 1, 2), 3)
    for name in ("timesteps", "x", "eps_cond", "eps_uncond", "latents"):
        assert torch.equal(getattr(again, name), getattr(run, name))


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"", lambda data: b"no" + data])
def test_a_damaged_file_is_an_error_that_names_it(sd1, tmp_path, damage):
    path = tmp_path / "run.safetensors"
    recorded(sd1, steps=1).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EditError, match=r"run\.safetensors"):
        Trajectory.load(path)
