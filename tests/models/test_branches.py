"""Runs side by side against each run alone, and what they cost."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext

import pytest
import torch

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.models import Model, Sites, count_rows, hooked, record, sample, sever, swap
from turpentine.models.branches import Intervention, branch_rows, run_branches
from turpentine.models.hooks import read_instead, zero
from turpentine.models.sampler import rows_in_a_step

STEPS = 5


def modules(model: Model, kind: str = "cross-attention") -> Sites:
    return model.sites.only(kind=kind, level="module")


def alone(model: Model, prompt: str, context=None, seeds=(0, 1)) -> torch.Tensor:
    cond = model.encode([prompt]).repeat(len(seeds))
    with context or nullcontext():
        steps = sample(model, cond, model.encode([""]), model.noise(seeds), steps=STEPS, guidance_scale=4.0)
        return list(steps)[-1].x_next


def together(model: Model, interventions, prompt: str = "a church", seeds=(0, 1), **settings):
    cond = model.encode([prompt]).repeat(len(seeds))
    return run_branches(
        model,
        interventions,
        cond,
        model.encode([""]),
        model.noise(seeds),
        **{"steps": STEPS, "guidance_scale": 4.0, **settings},
    )


def close(x: torch.Tensor, y: torch.Tensor) -> None:
    torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)


def test_each_run_is_as_it_is_alone(sd1: Model) -> None:
    late, early, whole = (modules(sd1).during(*part) for part in ((0.6, 1.0), (0.0, 0.4), (0.0, 1.0)))
    other = sd1.encode(["a dog"])
    interventions = [
        Intervention({late: zero}),
        Intervention({early: zero}),
        Intervention({}, {whole: read_instead(sd1, other)}),
    ]
    untouched, runs = together(sd1, interventions)
    close(untouched, alone(sd1, "a church"))
    contexts = (sever(sd1, late), sever(sd1, early), swap(sd1, whole, other))
    for latents, context in zip(runs, contexts, strict=True):
        expected = alone(sd1, "a church", context)
        close(latents, expected)
        assert (expected - untouched).abs().max() > 1e-2, "the intervention does something"


def test_a_copied_site_gives_what_the_untouched_run_gives(sd1: Model) -> None:
    site = Sites(sd1.sites.everything, tuple(modules(sd1, "feed-forward"))[3:4])
    with record(sd1, site) as kept:
        alone(sd1, "a church")
    outputs = iter(next(iter(kept.outputs.values())))

    def put(call):
        tensor = call.tensor.clone()
        tensor[call.rows] = next(outputs)
        return call.with_tensor(tensor)

    patched = alone(sd1, "a dog", hooked(sd1, {site: put}))
    dog = sd1.encode(["a dog"]).repeat(2)
    _, (corrupted, restored) = together(sd1, [Intervention(cond=dog), Intervention(cond=dog, copied=site)])
    close(corrupted, alone(sd1, "a dog"))
    close(restored, patched)
    assert (restored - corrupted).abs().max() > 1e-2


def test_what_is_done_never_leaves_a_run_untouched(sd1: Model) -> None:
    never = modules(sd1).during(0.0, 0.05)
    untouched, (run,) = together(sd1, [Intervention({never: zero})])
    assert torch.equal(run, untouched)


def test_what_runs_share_is_computed_once(sd1: Model) -> None:
    windows = [(0.0, 0.2), (0.2, 0.6), (0.6, 1.0)]
    interventions = [
        Intervention({Sites(sd1.sites.everything, (site,)).during(*window): zero})
        for site in modules(sd1)
        for window in windows
    ]
    told: list[tuple[int, int]] = []
    with count_rows(sd1) as count:
        together(sd1, interventions, progress=lambda done, total: told.append((done, total)))
    runs = len(modules(sd1)) * ((STEPS - 0) + (STEPS - 1) + (STEPS - 3))
    assert count.calls == STEPS
    assert count.rows == 2 * 2 * (STEPS + runs)
    assert told[-1] == (count.rows, count.rows)


def test_a_guidance_that_remembers_is_followed_from_the_first_step(sd1: Model) -> None:
    late = modules(sd1).during(0.6, 1.0)
    with SLD(scale=5.0, warmup=0.0)(sd1, Concept("dog")).on(sd1):
        _, (run,) = together(sd1, [Intervention({late: zero})])
        close(run, alone(sd1, "a church", sever(sd1, late)))


@pytest.mark.parametrize(
    ("guides", "guidance_scale", "each"),
    [
        ((), 1.0, 1),
        ((), 4.0, 2),
        ((SLD(),), 1.0, 3),
        ((SLD(),), 4.0, 3),
        ((NegativePrompt(),), 4.0, 2),
        ((SLD(), NegativePrompt()), 4.0, 4),
    ],
)
def test_the_rows_told_are_the_rows_counted(sd1: Model, guides, guidance_scale: float, each: int) -> None:
    interventions = [Intervention({modules(sd1).during(*part): zero}) for part in ((0.0, 1.0), (0.6, 1.0))]
    settings = {"steps": STEPS, "guidance_scale": guidance_scale}
    seen: list[tuple[int, int]] = []
    with ExitStack() as stack:
        for guide in guides:
            stack.enter_context(guide(sd1, Concept("dog")).on(sd1))
        assert rows_in_a_step(sd1, guidance_scale, STEPS) == each
        told = branch_rows(sd1, interventions, 2, **settings)
        with count_rows(sd1) as count:
            together(sd1, interventions, **settings, progress=lambda *now: seen.append(now))
    assert told == count.rows == each * 2 * (STEPS * 3 if guides else STEPS * 2 + 2)
    assert seen[-1] == (told, told)


def test_sampling_in_two_parts_is_sampling(sd1: Model) -> None:
    cond, empty = sd1.encode(["a church"]), sd1.encode([""])
    settings = {"steps": STEPS, "guidance_scale": 4.0}
    whole = list(sample(sd1, cond, empty, sd1.noise([0]), **settings))
    half = list(sample(sd1, cond, empty, sd1.noise([0]), **settings, last=2))
    rest = list(sample(sd1, cond, empty, half[-1].x_next, **settings, first=2))
    assert [step.index for step in half + rest] == list(range(STEPS))
    assert torch.equal(rest[-1].x_next, whole[-1].x_next)
    with pytest.raises(BadArgument, match="dpm cannot begin at step 2: only ddim can"):
        next(sample(sd1, cond, empty, sd1.noise([0]), **settings, solver="dpm", first=2))
