import numpy as np
import pytest
import torch

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.random_state import random_states
from turpentine.models.generate import batches, pair

PROMPTS = [f"a {word}" for word in ("church", "dog", "cat", "car", "house", "truck", "fish", "horn")]


@pytest.mark.parametrize(("family", "solver"), [("sd1", "ddim"), ("sd1", "ddpm"), ("sd2", "ddim"), ("sdxl", "ddim")])
def test_a_picture_does_not_depend_on_its_batch(family, solver, request):
    model = request.getfixturevalue(family)
    seeds = list(range(8))
    whole = model.noise(seeds)
    for size in (1, 3):
        assert torch.equal(torch.cat([model.noise(seeds[rows]) for rows in batches(8, size)]), whole)
    how = {"seeds": seeds, "steps": 4, "solver": solver}
    runs = [np.stack(model.generate(PROMPTS, batch_size=size, **how)) for size in (8, 3, 1)]
    for run in runs[1:]:
        assert np.abs(run.astype(int) - runs[0]).max() <= 2
    assert np.abs(np.diff(runs[0].astype(int), axis=0)).max() > 2


def test_pictures_agree_with_the_pipeline(sd1):
    sd1.pipeline.set_progress_bar_config(disable=True)
    expected = sd1.pipeline(PROMPTS[:2], latents=sd1.noise([3, 4]), num_inference_steps=4, guidance_scale=4.0).images
    pictures = sd1.generate(PROMPTS[:2], seeds=[3, 4], steps=4)
    assert np.abs(np.stack(pictures).astype(int) - np.stack(expected)).max() <= 1


@pytest.mark.parametrize("solver", ["ddim", "dpm", "euler", "ddpm"])
def test_every_solver_draws(sd1, solver):
    first, again = (sd1.generate("a dog", seeds=0, steps=4, solver=solver)[0] for _ in range(2))
    assert first.size == (32, 32)
    assert first.tobytes() == again.tobytes()


def test_it_leaves_the_random_state_alone(sd1):
    before = random_states()
    sd1.generate("a dog", steps=1)
    assert random_states() == before


def test_sizes(sd1, sdxl):
    assert sd1.generate("a dog", steps=1, size=(48, 32))[0].size == (32, 48)
    assert sdxl.generate("a dog", steps=1, size=64)[0].size == (64, 64)


def test_a_negative_prompt_takes_the_place_of_the_empty_one(sd1):
    plain = sd1.generate("a dog", steps=4)[0]
    assert sd1.generate("a dog", steps=4, negative_prompt="a cat")[0].tobytes() != plain.tobytes()
    same = np.asarray(sd1.generate("a dog", steps=4, negative_prompt="a dog")[0]).astype(int)
    unguided = np.asarray(sd1.generate("a dog", steps=4, guidance_scale=1.0)[0])
    assert np.abs(same - unguided).max() <= 1


@pytest.mark.parametrize(
    ("prompts", "seeds", "expected"),
    [
        ("a", 0, (["a"], [0])),
        ("a", [1, 2], (["a", "a"], [1, 2])),
        (["a", "b"], 3, (["a", "b"], [3, 3])),
        (["a", "b"], range(2), (["a", "b"], [0, 1])),
        (["a"], [1, 2, 3], (["a"] * 3, [1, 2, 3])),
    ],
)
def test_prompts_and_seeds_pair_up(prompts, seeds, expected):
    assert pair(prompts, seeds) == expected


@pytest.mark.parametrize(("prompts", "seeds"), [(["a", "b"], [1, 2, 3]), ([], 0), ("a", []), (["a"] * 4, [1, 2])])
def test_lists_that_do_not_pair_up_are_an_error(prompts, seeds):
    with pytest.raises(BadArgument, match="do not pair up"):
        pair(prompts, seeds)


def test_progress_counts_every_step_of_every_picture(sd1):
    calls = []
    sd1.generate(
        "a dog", seeds=range(3), steps=2, batch_size=2, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(2, 6), (4, 6), (5, 6), (6, 6)]


def test_bad_settings_are_errors(sd1):
    with pytest.raises(BadArgument, match="batch of 0"):
        sd1.generate("a dog", batch_size=0)
    with pytest.raises(UnknownName, match="solver"):
        sd1.generate("a dog", solver="magic")
    with pytest.raises(BadArgument, match="steps"):
        sd1.generate("a dog", steps=0)
