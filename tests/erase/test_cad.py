"""CAD-Erase: its equation, what it costs, what it leaves as it was, and that it goes on."""

from __future__ import annotations

import copy
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from edits.weights import made_up, weights_hash
from tiny import tiny_sd1

from turpentine import methods
from turpentine.attribution import approximation
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, BadWindow, EmptyConcept, EmptySelection, NotFinite
from turpentine.core.random_state import random_states
from turpentine.edits import Edit
from turpentine.erase.cad import CAD
from turpentine.models import Model, count_rows

CHURCH, DOG = Concept("church"), Concept("dog")


def quick(**changes: Any) -> CAD:
    return CAD(**{"sampling_steps": 4, "share": 0.02, "trials": 0, **changes})


def plain_cad(
    pipeline: Any, prompt: str, start: int, steps: int, scale: float, counted: range | None = None
) -> dict[str, torch.Tensor]:
    """α of the feed-forward weights in fp64, written down from the paper: a step at a time, summed over some steps."""
    unet = copy.deepcopy(pipeline.unet).double()
    tell = {text: pipeline.encode_prompt(text, "cpu", 1, False)[0].double() for text in (prompt, "")}
    weights = {n: p.requires_grad_() for n, p in unet.named_parameters() if ".ff." in n and n.endswith("weight")}
    ddim = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    ddim.set_timesteps(steps)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(start)).double()
    for index, t in enumerate(ddim.timesteps):
        eps, empty = unet(x, t, tell[prompt]).sample, unet(x, t, tell[""]).sample
        if counted is None or index in counted:
            ((empty.detach() - eps) ** 2).sum().div(steps).backward()
        x = ddim.step((empty + scale * (eps - empty)).detach(), t, x).prev_sample
    return {n: p.detach() * p.grad for n, p in weights.items()}


def test_the_erasure_is_the_papers_equation(double: Model) -> None:
    found = quick(seed=5).attribution(double, CHURCH)
    start = int(np.random.default_rng((1, 5, 0)).integers(2**31, 2**32, size=1)[0])
    plain = plain_cad(double.pipeline, "church", start, 4, 3.0)
    assert {f"unet.{name}" for name in plain} == set(found.alpha)
    for name, alpha in plain.items():
        assert (found.alpha[f"unet.{name}"].double() - alpha).norm() < 1e-5 * alpha.norm()
    edit = quick(seed=5, per="matrix")(double, CHURCH)
    for name, alpha in plain.items():
        count = int(0.02 * alpha.numel() + 0.5)
        top = alpha.flatten().sort(descending=True).indices[:count]
        assert set(edit.zeroed[f"unet.{name}"].positions.tolist()) == set(top.tolist())


def _chosen(edit: Edit, scores: dict[str, torch.Tensor]) -> None:
    """The largest 2 % of each matrix, and all of them."""
    assert set(edit.zeroed) == {f"unet.{name}" for name in scores}
    for name, score in scores.items():
        top = score.flatten().sort(descending=True).indices[: int(0.02 * score.numel() + 0.5)]
        assert set(edit.zeroed[f"unet.{name}"].positions.tolist()) == set(top.tolist())


def test_the_controls_are_the_criteria_of_pruning(double: Model) -> None:
    """Each by its own equation, at the same share of the same layers."""
    start = int(np.random.default_rng((1, 5, 0)).integers(2**31, 2**32, size=1)[0])
    each = [plain_cad(double.pipeline, "church", start, 4, 3.0, range(step, step + 1)) for step in range(4)]
    alpha = {name: sum(one[name] for one in each) for name in each[0]}
    squares = {name: sum((4 * one[name]) ** 2 for one in each) / 4 for name in alpha}
    own = dict(double.denoiser.named_parameters())
    settings: dict[str, Any] = {"seed": 5, "per": "matrix"}
    _chosen(quick(score="snip", **settings)(double, CHURCH), {name: one.abs() for name, one in alpha.items()})
    taylor = quick(score="taylor", trials=4, **settings)(double, CHURCH)
    _chosen(taylor, squares)
    assert list(taylor.provenance.measurements) == ["objective"]
    with count_rows(double) as count:
        _chosen(quick(score="magnitude", **settings)(double, CHURCH), {name: own[name].abs() for name in alpha})
        drawn = [quick(score="random", **{**settings, "seed": seed})(double, [CHURCH, DOG]) for seed in (5, 5, 6)]
    assert count.rows == 0
    assert drawn[0] == drawn[1] != drawn[2]
    shares = [len(zeroed) / own[name.removeprefix("unet.")].numel() for name, zeroed in drawn[0].zeroed.items()]
    assert 0.036 < sum(shares) / len(shares) < 0.042  # two draws of 2 %, which meet here and there


def test_a_stride_takes_each_step_from_a_run_of_its_own(double: Model) -> None:
    spread = quick(seed=5, trajectories=4, stride=4)
    with count_rows(double) as count:
        found = spread.attribution(double, CHURCH)
    assert (count.rows - count.grad_rows, count.grad_rows, len(found.objective)) == (2 * 4 * 4, 4, 4)
    starts = np.random.default_rng((1, 5, 0)).integers(2**31, 2**32, size=4).tolist()
    prompts = [CHURCH.prompts[run % len(CHURCH.prompts)] for run in range(4)]
    each = [
        plain_cad(double.pipeline, prompt, start, 4, 3.0, range(run, run + 1))
        for run, (prompt, start) in enumerate(zip(prompts, starts, strict=True))
    ]
    for name in each[0]:
        alpha = sum(one[name] for one in each)
        assert (found.alpha[f"unet.{name}"].double() - alpha).norm() < 1e-5 * alpha.norm()


def test_what_is_zeroed_brings_the_concept_nearer_to_the_empty_prompt(sd1: Model) -> None:
    found = quick().attribution(sd1, CHURCH)
    edit = quick(share=0.0005)(sd1, CHURCH)
    with edit.on(sd1):
        after = found.objective.value(sd1)
    assert after < found.value
    assert edit.provenance.measurements["objective"] == pytest.approx((found.value,))
    positions = {name: zeroed.positions for name, zeroed in edit.zeroed.items()}
    assert edit.provenance.measurements["predicted_fall"] == pytest.approx((found.predicted(positions),))
    assert found.predicted(positions) > 0


def test_with_every_attribution_comes_its_check(sd1: Model) -> None:
    seen: list[tuple[int, int]] = []
    with count_rows(sd1) as count:
        found = quick(trials=6).attribution(sd1, CHURCH, progress=lambda *told: seen.append(told))
    assert (count.rows - count.grad_rows, count.grad_rows) == (2 * 4 + 7 * 4, 4)
    assert seen[-1] == (2 * 4 + 3 * 4 + 7 * 4,) * 2
    assert found.check is not None
    assert len(found.check.measured) == 6
    again = approximation(quick().attribution(sd1, CHURCH), trials=6)
    assert (found.check.r, found.check.low, found.check.high) == pytest.approx((again.r, again.low, again.high))
    assert quick().attribution(sd1, CHURCH).check is None
    edit = quick(trials=6)(sd1, [CHURCH, DOG])
    told = edit.provenance.measurements
    assert told["r"][0] == pytest.approx(again.r)
    assert all(low < r < high for low, r, high in zip(told["r_low"], told["r"], told["r_high"], strict=True))
    assert edit == quick()(sd1, [CHURCH, DOG])
    assert "r" not in quick()(sd1, CHURCH).provenance.measurements
    assert CAD().trials > 0


@pytest.mark.parametrize("trajectories", [1, 3])
def test_the_rows_of_the_denoiser_are_counted(sd1: Model, trajectories: int) -> None:
    seen: list[tuple[int, int]] = []
    with count_rows(sd1) as count:
        quick(trajectories=trajectories)(sd1, CHURCH, progress=lambda *told: seen.append(told))
    assert count.rows - count.grad_rows == 2 * 4 * trajectories
    assert count.grad_rows == 4 * trajectories
    assert {total for _, total in seen} == {(2 + 3) * 4 * trajectories}
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_share_of_each_row_is_zeroed_and_no_more(sd1: Model) -> None:
    before, states = weights_hash(sd1), random_states()
    edit = quick(share=0.1)(sd1, CHURCH)
    assert weights_hash(sd1) == before
    assert random_states() == states
    assert not edit.deltas
    for name, zeroed in edit.zeroed.items():
        mask = zeroed.mask().flatten(1)
        assert mask.sum(1).max() <= int(0.1 * mask.shape[1]) + 1, name
    assert edit.provenance.method == "CAD"
    assert edit.provenance.base == sd1.fingerprint
    assert methods.CAD is CAD


@pytest.mark.parametrize("sites", ["self-attention", "resnet"])
def test_other_modules_compare(sd1: Model, sites: str) -> None:
    edit = quick(sites=sites)(sd1, CHURCH)
    inside = {name for site in sd1.sites.only(kind=sites) for name in site.parameters}
    assert set(edit.names) <= inside
    some = sd1.sites.only(kind=sites, level="module")
    assert quick(sites=some)(sd1, CHURCH) == edit
    assert quick(sites=some)(sd1, CHURCH).provenance.settings["sites"] == tuple(site.name for site in some)


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
def test_every_family_is_pruned(family: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(family)
    edit = quick(sampling_steps=2)(model, CHURCH)
    assert set(edit.names) <= {f"unet.{n}" for n, _ in model.denoiser.named_parameters() if ".ff." in n}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_pruned_alike(sd1: Model, dtype: torch.dtype) -> None:
    half = Model(tiny_sd1().to(dtype=dtype))
    edit, full = quick(sampling_steps=2)(half, CHURCH), quick(sampling_steps=2)(sd1, CHURCH)
    shared = sum((edit.zeroed[n].mask() & full.zeroed[n].mask()).sum() for n in full.names if n in edit.names)
    assert shared > 0.7 * sum(len(zeroed) for zeroed in full.zeroed.values())
    with edit.on(half):
        name = edit.names[0]
        assert (half.parameter(name).detach()[edit.zeroed[name].mask()] == 0).all()


def test_several_concepts_lose_what_each_rests_on(sd1: Model) -> None:
    both, church, dog = (quick()(sd1, asked) for asked in ((CHURCH, DOG), CHURCH, DOG))
    for name in both.names:
        either = torch.zeros(both.shape(name), dtype=torch.bool)
        for edit in (church, dog):
            either |= edit.zeroed[name].mask() if name in edit.zeroed else False
        assert torch.equal(both.zeroed[name].mask(), either)
    assert len(both.provenance.measurements["objective"]) == 2


def test_the_same_settings_give_the_same_edit_and_a_base_prompt_counts(sd1: Model) -> None:
    edit = quick()(sd1, CHURCH)
    torch.manual_seed(99)
    with torch.inference_mode():
        assert quick()(sd1, CHURCH) == edit
    assert quick(batch_size=3)(sd1, CHURCH) == edit
    seen: list[tuple[int, int]] = []
    assert quick(base="a dog")(sd1, CHURCH, progress=lambda *told: seen.append(told)) != edit
    assert seen[-1] == (24, 24)
    assert quick(seed=1)(sd1, CHURCH) != edit
    with made_up(sd1).on(sd1):
        other = quick()(sd1, CHURCH)
    assert other.provenance.onto == (made_up(sd1).id,)


@pytest.mark.parametrize("at", [6, 14])
def test_ctrl_c_keeps_what_was_computed_and_the_same_call_goes_on(sd1: Model, tmp_path: Path, at: int) -> None:
    whole = quick(batch_size=1)(sd1, CHURCH)

    def stop(done: int, total: int) -> None:
        if done >= at:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        quick(batch_size=1)(sd1, CHURCH, progress=stop, checkpoint=tmp_path)
    if at > 8:  # in the gradients
        assert f"goes on from {tmp_path}" in str(caught.value)
    with count_rows(sd1) as count:
        assert quick(batch_size=1)(sd1, CHURCH, checkpoint=tmp_path) == whole
    assert count.rows == (12 if at < 8 else 2)  # two of the four gradients were in
    if at > 8:
        with count_rows(sd1) as count:
            other = quick(batch_size=1, seed=3)(sd1, CHURCH, checkpoint=tmp_path)
        assert other == quick(batch_size=1, seed=3)(sd1, CHURCH)
        assert count.rows == 12  # all of its own


def test_labels_select_too(sd1: Model) -> None:
    edit = quick(sites="MID,UP1")(sd1, CHURCH)
    names = sd1.sites.only(label=("MID", "UP1"), level="layer").parameters()
    assert len(edit.names) > 2
    assert set(edit.names) <= set(names)


def test_the_window_of_the_sites_is_recorded_and_has_its_own_checkpoint(sd1: Model, tmp_path: Path) -> None:
    sites = sd1.sites.only(label="MID", kind="feed-forward")
    early, late = (quick(sites=sites.during(*window)) for window in ((0.0, 0.5), (0.5, 1.0)))
    edits = [early(sd1, CHURCH, checkpoint=tmp_path), late(sd1, CHURCH)]
    with count_rows(sd1) as count:
        assert late(sd1, CHURCH, checkpoint=tmp_path) == edits[1]
    assert count.rows > 0  # nothing of the other run's is taken
    both = quick(sites=sites.during(0.25, 1.0), window=(0.0, 0.5))
    assert both(sd1, CHURCH).provenance.settings["window"] == (0.25, 0.5)
    assert [edit.provenance.settings["window"] for edit in edits] == [(0.0, 0.5), (0.5, 1.0)]
    assert edits[0] != edits[1]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"share": 0.0}, BadArgument),
        ({"share": 1.5}, BadArgument),
        ({"trajectories": 0}, BadArgument),
        ({"trials": 3}, BadArgument),
        ({"trials": -1}, BadArgument),
        ({"sampling_steps": 0}, BadArgument),
        ({"batch_size": 0}, BadArgument),
        ({"guidance_scale": float("nan")}, BadArgument),
        ({"seed": -1}, BadArgument),
        ({"window": (0.9, 0.95)}, BadWindow),
        ({"sites": "heads"}, EmptySelection),
    ],
)
def test_settings_out_of_range_are_refused_before_any_work(sd1: Model, changes: Any, error: type[Exception]) -> None:
    with count_rows(sd1) as count, pytest.raises(error):
        quick(**changes)(sd1, CHURCH)
    assert count.rows == 0
    with pytest.raises(EmptyConcept):
        quick()(sd1, [])


def test_a_broken_weight_is_named() -> None:
    model = Model(tiny_sd1())
    with torch.no_grad():
        model.parameter("unet.conv_in.weight")[0] = float("nan")
    with pytest.raises(NotFinite, match=r"unet\.conv_in\.weight holds NaN"):
        quick()(model, CHURCH)


def test_the_defaults_are_the_published_values() -> None:
    published = {"share": 0.001, "sampling_steps": 50, "guidance_scale": 3.0, "base": "", "sites": "feed-forward"}
    assert all(getattr(CAD(), name) == value for name, value in published.items())
    assert CAD.preset("CompVis/stable-diffusion-v1-4") == CAD()
    assert CAD.preset("emoji", share=0.1).share == 0.1


def test_the_edit_is_kilobytes(sd1: Model, tmp_path: Path) -> None:
    edit = CAD(sampling_steps=1)(sd1, CHURCH)
    edit.save(tmp_path / "edit.safetensors")
    assert Edit.load(tmp_path / "edit.safetensors") == edit
    assert (tmp_path / "edit.safetensors").stat().st_size < 20_000
