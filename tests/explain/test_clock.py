"""Another time for the resnets, against the same run alone with the embedding replaced by hand in every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.explain.clock import SHUFFLED, Clock
from turpentine.models import Model, sample
from turpentine.models.branches import run_branches

PROMPTS, SEEDS, STEPS = ["a church", "a dog"], [0, 1], 4
OWN = [751, 501, 251, 1]  # of DDIM's four steps of a thousand


@contextmanager
def replaced(model: Model, resnets: Sequence[nn.Module], times: Sequence[float]) -> Iterator[None]:
    """Every row of these modules is told `times`, one a step."""
    steps = iter(times)
    now: list[Tensor] = []

    def next_step(module, args):
        projected = model.denoiser.time_proj(torch.tensor([float(next(steps))]))
        now[:] = [model.denoiser.time_embedding(projected)]

    def tell(module, args):
        x, embedding = args
        return x, now[0].expand_as(embedding)

    handles = [model.denoiser.register_forward_pre_hook(next_step)]
    handles += [module.register_forward_pre_hook(tell) for module in resnets]
    try:
        with torch.no_grad():
            yield
    finally:
        for handle in handles:
            handle.remove()


def all_resnets(model: Model) -> list[nn.Module]:
    return [module for module in model.denoiser.modules() if type(module).__name__ == "ResnetBlock2D"]


def inputs(model: Model):
    return model.encode(PROMPTS), model.encode([""]), model.noise(SEEDS)


def alone(model: Model, times: Sequence[float], resnets: Sequence[nn.Module], guidance_scale: float = 4.0) -> Tensor:
    with replaced(model, resnets, times):
        return list(sample(model, *inputs(model), steps=STEPS, guidance_scale=guidance_scale))[-1].x_next


def together(model: Model, times: Sequence[str], guidance_scale: float = 4.0, **settings) -> list[Tensor]:
    """The untouched run, and one for each time."""
    runs = [Clock(steps=STEPS, **settings).intervention(model, time) for time in times]
    untouched, found = run_branches(model, runs, *inputs(model), steps=STEPS, guidance_scale=guidance_scale)
    return [untouched, *found]


def close(x: Tensor, y: Tensor) -> None:
    torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)


def test_the_steps_own_times_are_what_the_transcription_says(sd1: Model) -> None:
    (untouched,) = together(sd1, [])
    close(alone(sd1, OWN, all_resnets(sd1)), untouched)


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
@pytest.mark.parametrize(
    "guide", [None, SLD(scale=5.0, warmup=0.0), NegativePrompt()], ids=["plain", "SLD", "negative prompt"]
)
def test_every_row_of_a_run_is_told_the_other_time_and_no_row_of_another_run(
    sd1: Model, guidance_scale: float, guide: SLD | NegativePrompt | None
) -> None:
    with guide(sd1, Concept("dog")).on(sd1) if guide else nullcontext():
        untouched, early, half = together(sd1, ["-0.2", "=0.5"], guidance_scale)
        close(untouched, list(sample(sd1, *inputs(sd1), steps=STEPS, guidance_scale=guidance_scale))[-1].x_next)
        resnets = all_resnets(sd1)
        close(early, alone(sd1, [951, 701, 451, 201], resnets, guidance_scale))
        close(half, alone(sd1, [499.5] * STEPS, resnets, guidance_scale))
    assert min((early - untouched).abs().max(), (half - untouched).abs().max()) > 1e-2


@pytest.mark.parametrize(
    ("time", "told"),
    [
        ("+0.1", [651, 401, 151, 0]),
        ("-0.3", [999, 801, 551, 301]),
        ("=0", [999] * STEPS),
        ("=1", [0] * STEPS),
        ("=.25", [749.25] * STEPS),
    ],
)
def test_times_stop_at_either_end_of_the_schedule(sd1: Model, time: str, told: list[float]) -> None:
    _, run = together(sd1, [time])
    close(run, alone(sd1, told, all_resnets(sd1)))


@pytest.mark.parametrize("time", ["+0", "-0", "+0.0"])
def test_no_other_time_leaves_the_picture_as_it_is(sd1: Model, time: str) -> None:
    untouched, run = together(sd1, [time])
    torch.testing.assert_close(run, untouched, rtol=1e-6, atol=1e-6)


def test_shuffled_times_are_the_steps_own_in_another_order_by_the_seed(sd1: Model) -> None:
    order = torch.randperm(STEPS, generator=torch.Generator().manual_seed(3)).tolist()
    assert order != sorted(order)
    _, run = together(sd1, [SHUFFLED], seed=3)
    close(run, alone(sd1, [OWN[at] for at in order], all_resnets(sd1)))


def test_layers_narrow_it_to_their_resnets(whole_sd1: Model) -> None:
    unet = whole_sd1.denoiser
    blocks = {
        "LOWRES": [*unet.down_blocks[2:], unet.mid_block, *unet.up_blocks[:2]],
        "HIGHRES": [unet.down_blocks[0], unet.up_blocks[3]],
    }
    for layers, some in blocks.items():
        _, run = together(whole_sd1, ["=0.5"], layers=layers)
        close(run, alone(whole_sd1, [499.5] * STEPS, [resnet for block in some for resnet in block.resnets]))


@torch.no_grad()
def test_what_is_told_of_sizes_and_the_pooled_text_stays(sdxl: Model) -> None:
    _, run = together(sdxl, ["=0.5"])
    embedded = [sdxl.denoiser.time_embedding(sdxl.denoiser.time_proj(torch.tensor([time]))) for time in (499.5, *OWN)]
    changes = iter([embedded[0] - own for own in embedded[1:]])
    # SDXL's sum goes to the resnets alone, so that the time's own part may be changed where it is made.
    handle = sdxl.denoiser.time_embedding.register_forward_hook(lambda module, args, output: output + next(changes))
    try:
        close(run, list(sample(sdxl, *inputs(sdxl), steps=STEPS, guidance_scale=4.0))[-1].x_next)
    finally:
        handle.remove()


def test_pictures_by_their_times(emoji: Model) -> None:
    told = []
    found = Clock(("+0", "=0.5"), steps=STEPS)(
        emoji, PROMPTS, SEEDS, progress=lambda done, total: told.append((done, total))
    )
    assert list(found.images) == ["untouched", "+0", "=0.5"] and told[-1] == (2, 2)
    with replaced(emoji, all_resnets(emoji), [499.5] * STEPS):
        by_hand = emoji.generate(PROMPTS, seeds=SEEDS, steps=STEPS)
    for mine, theirs in zip(found.images["=0.5"], by_hand, strict=True):
        assert np.abs(np.asarray(mine, int) - np.asarray(theirs, int)).max() <= 2
    assert found.plot().get_axes()


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"times": ()}, BadArgument, "no other time"),
        ({"times": ("later",)}, UnknownName, "'later' is no other time"),
        ({"times": ("0.1",)}, UnknownName, "'0.1' is no other time"),
        ({"times": ("+1.5",)}, BadArgument, "more than the whole schedule"),
        ({"layers": "MID"}, UnknownName, "no resnets called 'MID': there are ALL, LOWRES, HIGHRES"),
        ({"layers": "lowres"}, UnknownName, "no resnets called 'lowres'"),
        ({"steps": 0}, BadArgument, "Clock's steps is 0: give 1 or more"),
        ({"steps": 5000}, BadArgument, "5000 steps cannot be taken"),
    ],
)
def test_what_is_no_time_is_told(sd1: Model, settings: dict, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        Clock(**settings)(sd1, "a church", 0)
