"""ESD: its equation, its parameter sets, what it costs and what it leaves as it was."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from edits.weights import made_up, weights_hash
from tiny import tiny_sd1, tiny_sd2_v
from torch import nn

from turpentine import methods
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, BadWindow, EmptyConcept, NotFinite, UnknownName
from turpentine.core.plugins import find_class
from turpentine.core.random_state import random_states
from turpentine.edits import Edit, stack_of
from turpentine.erase._training.states import TrainingBatch
from turpentine.erase._training.training import Masters
from turpentine.erase.esd import ESD, SETS, esd_sites
from turpentine.models import Model, count_rows

CHURCH = Concept("church")
QUICK = ESD(steps=3, batch_size=2, trajectories=2, sampling_steps=4, lr=1e-3)


def _quick(**changes: Any) -> ESD:
    return ESD(**{**{"steps": 3, "batch_size": 2, "trajectories": 2, "sampling_steps": 4, "lr": 1e-3}, **changes})


# The equation


def plain_esd(pipeline: Any, prompts: list[str], starts: list[int], updates: list[Any], **s: Any) -> dict[str, Any]:
    """ESD-x as one would write it down from the paper: one row at a time, and Adam by hand, in the simplest form.

    updates: for each update the (step, row) pairs of its batch.
    """
    frozen, unet = copy.deepcopy(pipeline.unet), copy.deepcopy(pipeline.unet).requires_grad_(True)
    tell = {text: pipeline.encode_prompt(text, "cpu", 1, False)[0] for text in [*prompts, ""]}
    x, eps, eps_empty, times = _plain_runs(pipeline, frozen, tell, prompts, starts, s["T"], s["w"])
    weights = {n: p for n, p in unet.named_parameters() if ".attn2." in n}
    first = {n: p.detach().clone() for n, p in weights.items()}
    m, v = ({n: torch.zeros_like(p) for n, p in weights.items()} for _ in range(2))
    for k, pairs in enumerate(updates, start=1):
        loss = 0.0
        for step, row in pairs:
            target = eps_empty[row][step] - s["eta"] * (eps[row][step] - eps_empty[row][step])
            predicted = unet(x[row][step], times[step], tell[prompts[row]]).sample
            loss = loss + ((predicted - target) ** 2).mean() / len(pairs)
        for n, g in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            m[n] = 0.9 * m[n] + 0.1 * g
            v[n] = 0.999 * v[n] + 0.001 * g**2
            change = (m[n] / (1 - 0.9**k)) / ((v[n] / (1 - 0.999**k)).sqrt() + 1e-8)
            weights[n].data -= s["lr"] * change
    return {n: weights[n].detach() - first[n] for n in weights}


@torch.no_grad()
def _plain_runs(
    pipeline: Any, unet: Any, tell: dict[str, Any], prompts: list[str], starts: list[int], steps: int, w: float
) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    x, eps, eps_empty = ([[] for _ in prompts] for _ in range(3))
    ddim = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    ddim.set_timesteps(steps)
    for row, (prompt, start) in enumerate(zip(prompts, starts, strict=True)):
        state = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(start)).double()
        for t in ddim.timesteps:
            x[row].append(state)
            eps[row].append(unet(state, t, tell[prompt]).sample)
            eps_empty[row].append(unet(state, t, tell[""]).sample)
            guided = eps_empty[row][-1] + w * (eps[row][-1] - eps_empty[row][-1])
            state = ddim.step(guided, t, state).prev_sample
    return x, eps, eps_empty, list(ddim.timesteps)


@pytest.mark.parametrize("make", [tiny_sd1, tiny_sd2_v])
def test_an_erasure_is_the_papers_equation(make: Any) -> None:
    """The transcription takes what the network gives for ε; where that is v, it is the public code's loss in v."""
    double = Model(make().to(torch.float64))
    esd = _quick(eta=1.5, trajectories=3, steps=4, seed=5, lr=1e-2)
    edit = esd(double, CHURCH)
    starts = np.random.default_rng((1, 5, 0)).integers(2**31, 2**32, size=3).tolist()
    updates = []
    for update in range(4):
        draw = np.random.default_rng((2, 5, update))
        steps, rows = draw.integers(4, size=2), draw.integers(3, size=2)
        updates.append(list(zip(steps.tolist(), rows.tolist(), strict=True)))
    prompts = ["church", "a church", "church"]
    plain = plain_esd(double.pipeline, prompts, starts, updates, T=4, w=3.0, eta=1.5, lr=1e-2)
    assert {f"unet.{name}" for name in plain} == set(edit.deltas)
    ours, theirs = (torch.cat([delta.flatten() for delta in deltas]) for deltas in _aligned(edit, plain))
    assert theirs.norm() > 0.1
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()


def _aligned(edit: Edit, plain: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    return [edit.deltas[f"unet.{name}"] for name in plain], list(plain.values())


@pytest.mark.parametrize("step", [0, 2])
def test_a_loss_in_eps_is_that_in_v_times_how_much_picture_is_left(sd2: Model, step: int) -> None:
    x, t = sd2.noise([3, 4]), 999 - 300 * step
    batch = TrainingBatch(x, torch.tensor([t, t]), sd2.encode(["a church", "a dog"]), sd2.noise([5, 6]))
    masters = Masters(sd2, ("unet.conv_out.weight",))
    in_v, in_eps = (float(_quick(loss=loss)._loss(sd2, masters, batch)) for loss in ("output", "eps"))
    left = float(sd2.pipeline.scheduler.alphas_cumprod[t])
    assert left < 0.5
    assert in_eps == pytest.approx(left * in_v, rel=1e-4)


def test_the_authors_guidance_is_eta_itself_where_something_is_erased_from() -> None:
    """`epsilon_from − negative_guidance·(epsilon_concept − epsilon_uncond)`, as their script has it."""
    start, concept, uncond = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    published = start - 2.0 * (concept - uncond)
    torch.testing.assert_close(ESD(eta=2.0, erase_from="a").target(start, concept, uncond), published)


def test_eta_is_the_papers_and_one_less_than_the_later_codes() -> None:
    concept, uncond = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).chunk(2)
    for eta in (0.0, 1.0, 3.0):
        later = concept - (eta + 1) * (concept - uncond)
        torch.testing.assert_close(ESD(eta=eta).target(uncond, concept, uncond), later)
    assert torch.equal(ESD(eta=0.0).target(uncond, concept, uncond), uncond)
    torch.testing.assert_close(ESD(eta=1.0).target(uncond, concept, uncond), 2 * uncond - concept)


def test_the_defaults_are_the_published_values() -> None:
    published = {"eta": 1.0, "steps": 1000, "lr": 1e-5, "batch_size": 1, "sampling_steps": 50, "guidance_scale": 3.0}
    for name, value in published.items():
        assert getattr(ESD(), name) == value
    assert ESD.preset("CompVis/stable-diffusion-v1-4") == ESD()
    small = {"trajectories": 24, "sampling_steps": 10, "eta": 2.0, "steps": 175, "batch_size": 8, "lr": 1e-3}
    assert ESD.preset("emoji", sites="x") == ESD(sites="x", captions="named", **small)
    assert ESD.preset("emoji", sites="u") == ESD(sites="u", captions="implied", preserved=0.25, **small)
    assert methods.ESD is ESD


def test_the_preset_goes_by_the_size_of_the_model(sd1: Model) -> None:
    assert ESD.preset(sd1, eta=2.0) == ESD.preset("emoji", eta=2.0)
    assert ESD.preset(sd1) != ESD()


def test_the_prediction_comes_near_the_target(sd1: Model) -> None:
    concept = Concept("church", templates=("{}",))
    esd = _quick(sites="u", steps=40, batch_size=1, trajectories=1, window=(0.0, 0.25))  # one point
    x, t = sd1.noise(np.random.default_rng((1, 0, 0)).integers(2**31, 2**32, size=1).tolist()), 751
    cond, empty = sd1.encode(["church"]), sd1.encode([""])
    before, uncond = sd1.eps(x, t, cond), sd1.eps(x, t, empty)
    with esd(sd1, concept).on(sd1):
        after = sd1.eps(x, t, cond)
    target = esd.target(uncond, before, uncond)
    assert (after - target).norm() < 0.5 * (before - target).norm()


# The parameter sets


def _modules(model: Model, wanted: Any) -> set[str]:
    """Names of the weights and biases of modules, by their class and name and nothing of ours."""
    return {
        f"unet.{name}.{parameter}"
        for name, module in model.denoiser.named_modules()
        if wanted(name, isinstance(module, nn.Linear | nn.Conv2d))
        for parameter, _ in module.named_parameters(recurse=False)
    }


_OUTER = ("conv_in", "conv_out", "time_embedding", "add_embedding")
_RULES = {
    "x": lambda name, linear: linear and ".attn2." in name,
    "x-strict": lambda name, linear: name.endswith(("attn2.to_k", "attn2.to_v")),
    "u": lambda name, linear: linear and ".attn2." not in name and not name.startswith(_OUTER),
    "selfattn": lambda name, linear: linear and ".attn1." in name,
    "all": lambda name, linear: True,
    "cross-attention": lambda name, linear: linear and ".attn2." in name,
    "feed-forward": lambda name, linear: linear and ".ff." in name,
}


@pytest.mark.parametrize("name", _RULES)
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_the_parameter_sets_are_exact(family: str, name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(family)
    parameters = esd_sites(model, name).parameters()
    assert set(parameters) == _modules(model, _RULES[name])
    assert len(set(parameters)) == len(parameters) > 0


def test_an_edit_holds_its_parameter_set_and_no_more(sd1: Model) -> None:
    for name in SETS:
        edit = _quick(sites=name, steps=1)(sd1, CHURCH)
        assert set(edit.deltas) == set(esd_sites(sd1, name).parameters())
        assert edit.provenance.settings["sites"] == name
        moved = [delta.abs().max() > 0 for delta in edit.deltas.values()]
        assert sum(moved) > 0.9 * len(moved)
    assert ESD.variants["esd-x-strict"] == {"sites": "x-strict"}
    assert [variant["sites"] for variant in ESD.variants.values()] == list(SETS)


def test_any_selection_may_be_trained(sd1: Model) -> None:
    sites = sd1.sites.only(label=("UP1", "MID"), kind="cross-attention", level="module")
    edit = _quick(sites=sites)(sd1, CHURCH)
    assert set(edit.deltas) == set(sites.parameters())
    assert edit.provenance.settings["sites"] == tuple(site.name for site in sites)


def test_the_top_sites_of_a_table_may_be_trained(sd1: Model, tmp_path: Path) -> None:
    names = [site.name for site in sd1.sites.only(label="MID", level="layer", kind="cross-attention")]
    table = tmp_path / "attribution.csv"
    table.write_text("site,score\n" + "".join(f"{name},{score}\n" for score, name in enumerate(names)))
    edit = _quick(sites_from=str(table), top=2)(sd1, CHURCH)
    assert set(edit.names) == set(sd1.sites.named(names[-2:]).parameters())
    assert edit.provenance.settings["sites"] == tuple(names[-2:])
    table.unlink()
    assert ESD(**edit.provenance.settings)(sd1, CHURCH) == edit
    with pytest.raises(BadArgument, match="no table"):
        _quick(sites_from=str(table))(sd1, CHURCH)
    with pytest.raises(UnknownName, match="'nowhere'"):
        _quick(sites=(*names, "nowhere"))(sd1, CHURCH)


def test_labels_and_kinds_select_too(sd1: Model) -> None:
    edit = _quick(sites="MID, resnet")(sd1, CHURCH)
    layers = sd1.sites.only(level="layer", name="unet.*")
    assert set(edit.names) == set((layers.only(label="MID") | layers.only(kind="resnet")).parameters())


def test_an_unknown_set_and_sites_outside_the_denoiser_are_refused(sd1: Model) -> None:
    with count_rows(sd1) as count:
        with pytest.raises(UnknownName, match="x-strict, u, selfattn"):
            _quick(sites="y")(sd1, CHURCH)
        with pytest.raises(BadArgument, match="text_encoder"):
            _quick(sites=sd1.sites.only(kind="text-mlp"))(sd1, CHURCH)
    assert count.rows == 0


# What it costs


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_rows_of_the_denoiser_are_counted(sd1: Model, batch_size: int) -> None:
    with count_rows(sd1) as count:
        _quick(trajectories=9, steps=7, batch_size=batch_size)(sd1, CHURCH)
    assert count.rows == 2 * 4 * 9 + 7 * batch_size
    assert count.grad_rows == 7 * batch_size
    assert count.calls == 4 * 2 + 7  # nine trajectories in two batches


def test_progress_covers_sampling_and_training_in_one_unit(sd1: Model) -> None:
    seen: list[tuple[int, int]] = []
    _quick()(sd1, CHURCH, progress=lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {2 * 4 * 2 + 3 * 2 * 3}
    done = [done for done, _ in seen]
    assert done == sorted(done)
    assert done[-1] == seen[0][1]
    assert len(seen) >= 4 + 3


# What it leaves as it was


def test_the_model_and_the_random_state_are_as_before(sd1: Model) -> None:
    before, states = weights_hash(sd1), random_states()
    QUICK(sd1, CHURCH)
    _quick(fresh=True)(sd1, CHURCH)
    assert weights_hash(sd1) == before
    assert random_states() == states


def test_the_same_settings_give_the_same_edit_bit_by_bit(sd1: Model) -> None:
    edit = QUICK(sd1, CHURCH)
    torch.manual_seed(99)
    with torch.inference_mode():
        assert QUICK(sd1, CHURCH) == edit
    assert _quick(seed=1)(sd1, CHURCH) != edit


def test_an_error_inside_leaves_the_model_as_it_was(sd1: Model) -> None:
    before = weights_hash(sd1)

    def stop(done: int, total: int) -> None:
        if done > 20:
            raise RuntimeError("the screen is gone")

    for esd in (QUICK, _quick(fresh=True, steps=9)):
        with pytest.raises(RuntimeError, match="the screen is gone"):
            esd(sd1, CHURCH, progress=stop)
        assert weights_hash(sd1) == before


def test_edits_that_are_on_stay_on_and_are_recorded(sd1: Model) -> None:
    other = made_up(sd1)
    with other.on(sd1):
        before = weights_hash(sd1)
        edit = QUICK(sd1, CHURCH)
        assert weights_hash(sd1) == before
        assert list(stack_of(sd1)) == [other]
    assert edit.provenance.onto == (other.id,)
    assert edit.provenance.base == sd1.fingerprint
    assert edit != QUICK(sd1, CHURCH)


def test_the_edit_can_be_made_again_from_its_provenance(sd1: Model, tmp_path: Path) -> None:
    edit = _quick(window=(0.25, 1.0))(sd1, CHURCH)
    edit.save(tmp_path / "edit.safetensors")
    provenance = Edit.load(tmp_path / "edit.safetensors").provenance
    assert provenance.method == "ESD"
    again = find_class(provenance.method).load()(**provenance.settings)
    assert again(sd1, provenance.concepts) == edit


# Options


def test_several_concepts_share_a_run(sd1: Model) -> None:
    both = (CHURCH, Concept("ink", "style"))
    with count_rows(sd1) as count:
        edit = _quick()(sd1, both)
    assert count.rows == 2 * 4 * (2 * 2) + 3 * 2
    assert edit.provenance.concepts == both
    prompts = ESD(trajectories=3)._prompts(both)
    assert prompts.concept == ("church", "a church", "church", "ink style", "a picture in ink style", "ink style")
    uneven = (CHURCH, Concept("by", templates=("{}", "a {}", "in {}")))
    fresh = ESD(fresh=True)._prompts(uneven).concept
    assert [fresh.count(prompt) for prompt in dict.fromkeys(fresh)] == [3, 3, 2, 2, 2]


def test_erasing_from_something_trains_on_that(sd1: Model) -> None:
    esd = _quick(erase_from="a red church", steps=1)
    with count_rows(sd1) as count:
        edit = esd(sd1, Concept("red", "colour"))
    assert count.rows == 3 * 4 * 2 + 2
    prompts = esd._prompts((Concept("red", "colour"),))
    assert set(prompts.trained) == {"a red church"}
    assert set(prompts.concept) == {"red background", "a picture on a red background"}
    assert edit != _quick(steps=1)(sd1, Concept("red", "colour"))


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
@pytest.mark.parametrize("options", [{}, {"fresh": True, "erase_from": "a dog"}])
def test_other_families_can_be_erased_from(
    family: str, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(family)
    before = weights_hash(model)
    edit = _quick(**options)(model, CHURCH)
    assert weights_hash(model) == before
    with edit.on(model):
        assert weights_hash(model) != before
    assert weights_hash(model) == before


def test_an_fp16_model_is_trained_on_fp32_masters(sd1: Model) -> None:
    half = Model(tiny_sd1().to(dtype=torch.float16))
    esd = _quick(lr=1e-6, steps=4)  # under the spacing of fp16 for most weights
    edit, reference = esd(half, CHURCH), esd(sd1, CHURCH)
    ours, theirs = (torch.cat([e.deltas[name].flatten() for name in e.deltas]) for e in (edit, reference))
    assert (ours != 0).float().mean() > 0.99
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.9


def test_bad_settings_stop_before_any_work(sd1: Model) -> None:
    bad: list[dict[str, Any]] = [
        {"steps": 0},
        {"batch_size": 0},
        {"trajectories": 0},
        {"sampling_steps": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"eta": float("inf")},
        {"seed": -1},
        {"erase_from": " "},
    ]
    with count_rows(sd1) as count:
        for settings in bad:
            with pytest.raises(BadArgument, match=next(iter(settings))):
                _quick(**settings)(sd1, CHURCH)
        with pytest.raises(EmptyConcept, match="no concept"):
            _quick()(sd1, [])
        for window in ((0.5, 0.5), (-0.1, 1.0), (0.0, 1.5)):
            with pytest.raises(BadWindow):
                _quick(window=window)(sd1, CHURCH)
        with pytest.raises(BadWindow, match="holds none of the 4"):
            _quick(window=(0.0, 0.1))(sd1, CHURCH)
        with pytest.raises(BadWindow):
            _quick(window=(0.0, 0.5), sites=sd1.sites.only(label="MID").during(0.5, 1.0))(sd1, CHURCH)
    assert count.rows == 0


def test_a_prompt_that_is_its_own_start_is_erased_from_all_the_same(sd1: Model) -> None:
    concept = Concept("church", templates=("{}",))
    with count_rows(sd1) as count:
        edit = _quick(erase_from="church")(sd1, concept)
    assert count.rows == 3 * 4 * 2 + 3 * 2
    assert edit != _quick()(sd1, concept)


def test_the_window_of_the_sites_is_recorded_and_has_its_own_checkpoint(sd1: Model, tmp_path: Path) -> None:
    sites = sd1.sites.only(label="MID", kind="cross-attention")
    early, late = _quick(sites=sites.during(0.0, 0.5)), _quick(sites=sites.during(0.25, 1.0), window=(0.5, 1.0))

    def stop(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        early(sd1, CHURCH, progress=stop, checkpoint=tmp_path)
    with count_rows(sd1) as count:
        edits = late(sd1, CHURCH, checkpoint=tmp_path), late(sd1, CHURCH)
    assert edits[0] == edits[1] and count.rows % 2 == 0 and count.rows > 0  # nothing of the other run's is taken
    edits = early(sd1, CHURCH, checkpoint=tmp_path), edits[0]
    assert [edit.provenance.settings["window"] for edit in edits] == [(0.0, 0.5), (0.5, 1.0)]
    assert edits[0].id != edits[1].id


def test_windows_of_the_setting_and_of_the_sites_both_count(sd1: Model) -> None:
    sites = sd1.sites.only(label="MID", kind="cross-attention").during(0.25, 1.0)
    assert _quick(window=(0.0, 0.75), sites=sites)._sampling(sd1).window == range(1, 3)
    assert _quick(window=(0.5, 0.75))._sampling(sd1).window == range(2, 3)


# NaN


def test_nan_in_a_weight_is_found_before_training(sd1: Model) -> None:
    model = Model(tiny_sd1())
    model.denoiser.conv_in.weight.data[0, 0] = float("nan")
    with pytest.raises(NotFinite, match=r"^unet\.conv_in\.weight holds NaN"):
        QUICK(model, CHURCH)
    model = Model(tiny_sd1())
    _ = model.fingerprint  # after which no weight is looked at
    model.denoiser.conv_in.weight.data[0, 0] = float("nan")
    with pytest.raises(NotFinite, match=r"in step 1 of 4 \(first in unet\.conv_in\)"):
        QUICK(model, CHURCH)


def test_nan_in_training_names_the_weight_and_the_update(sd1: Model, tmp_path: Path) -> None:
    before = weights_hash(sd1)
    with pytest.raises(NotFinite, match=r"unet\.\S+attn2\.\S+ is NaN or infinite in update 2.*learning rate"):
        _quick(lr=1e38, sites="x")(sd1, CHURCH, checkpoint=tmp_path / "run")
    assert weights_hash(sd1) == before
    assert not (tmp_path / "run").exists()


def test_captions_with_company_are_for_stored_states_of_the_concept_itself(sd1: Model) -> None:
    for changes, named in (
        ({"captions": "named", "fresh": True}, "fresh"),
        ({"captions": "implied", "erase_from": "a red church"}, "erase_from"),
        ({"preserved": 0.5, "fresh": True}, "preserved"),
        ({"preserved": 1.5}, "preserved"),
    ):
        with pytest.raises(BadArgument, match=named):
            _quick(**changes)(sd1, CHURCH)
    with count_rows(sd1) as count:
        _quick(captions="named", preserved=0.5)(sd1, CHURCH)
    assert count.rows == 3 * 4 * 2 + 3 * 2  # trajectories with the rest's predictions, then updates forward


def test_what_the_world_does_not_have_is_learnt_from_its_templates(sd1: Model) -> None:
    dragon = Concept("dragon", templates=("a {}",))
    one, other = (_quick(captions=captions)(sd1, dragon) for captions in ("own", "named"))
    assert one.deltas.keys() == other.deltas.keys()
    assert all(torch.equal(one.deltas[name], other.deltas[name]) for name in one.deltas)


def test_the_small_preset_costs_no_more_than_the_one_of_own_prompts(sd1: Model) -> None:
    preset = ESD.preset(sd1)
    rows = 3 * preset.sampling_steps * preset.trajectories + 3 * preset.batch_size * preset.steps
    assert rows <= 2 * 20 * 8 + 3 * 8 * 200
