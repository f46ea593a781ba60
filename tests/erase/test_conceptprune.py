"""ConceptPrune: its rule by hand, its window on any schedule, what it costs and what it leaves as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from edits.weights import weights_hash
from tiny import tiny_sd1

from turpentine import methods
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, BadWindow, EmptySelection, NotFinite
from turpentine.erase.conceptprune import ConceptPrune
from turpentine.models import Model, count_rows

CHURCH = Concept("church")


def quick(**changes: Any) -> ConceptPrune:
    return ConceptPrune(**{"sampling_steps": 6, "window": (0.0, 0.5), "pairs": 3, "share": 0.1, **changes})


@torch.no_grad()
def plain_norms(pipeline: Any, prompts: list[str], starts: list[int], both: bool) -> Any:
    """A of each GEGLU at each of the first 3 of 6 steps, a prompt at a time, straight from the network."""
    unet, seen = pipeline.unet, {}
    ddim = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    ddim.set_timesteps(6)
    handles = [
        module.register_forward_hook(lambda m, a, out, name=name: seen.setdefault(name, []).append(out))
        for name, module in unet.named_modules()
        if name.endswith("ff.net.0")
    ]
    squares: dict[tuple[str, int], Any] = {}
    for prompt, start in zip(prompts, starts, strict=True):
        tell = [pipeline.encode_prompt(text, "cpu", 1, False)[0] for text in (prompt, "")]
        x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(start)).double()
        for step in range(3):
            seen.clear()
            eps = unet(x, ddim.timesteps[step], tell[0]).sample
            empty = unet(x, ddim.timesteps[step], tell[1]).sample
            for name, (own, of_empty) in seen.items():
                for token in [*own[0].double(), *(of_empty[0].double() if both else ())]:
                    squares[name, step] = squares.get((name, step), 0) + (token / token.norm()) ** 2
            x = ddim.step(empty + 7.5 * (eps - empty), ddim.timesteps[step], x).prev_sample
    for handle in handles:
        handle.remove()
    return {key: value.sqrt() for key, value in squares.items()}


@pytest.mark.parametrize(
    ("majority", "per", "rows"), [(0.5, "row", "prompt"), (0.0, "row", "prompt"), (0.0, "published", "both")]
)
def test_the_rule_is_the_papers(whole_double: Model, majority: float, per: Any, rows: Any) -> None:
    before = weights_hash(whole_double)
    edit = quick(seed=2, majority=majority, per=per, rows=rows)(whole_double, CHURCH)
    assert weights_hash(whole_double) == before
    starts = np.random.default_rng((1, 2, 0)).integers(2**31, 2**32, size=3).tolist()
    target = plain_norms(whole_double.pipeline, ["church", "a church", "church"], starts, rows == "both")
    base = plain_norms(whole_double.pipeline, ["", "a", ""], starts, rows == "both")
    total = 0
    for name in {name for name, _ in target}:
        layer = name.removesuffix("net.0") + "net.2"
        weight = whole_double.denoiser.get_parameter(f"{layer}.weight").detach().double()
        votes = torch.zeros(weight.shape)
        for step in range(3):
            s_target, s_base = weight.abs() * target[name, step], weight.abs() * base[name, step]
            half = 0 if per == "published" else 0.5
            short = int(0.1 * weight.numel() + 0.5) - weight.shape[0] * int(0.1 * weight.shape[1] + 0.5)
            short = 0 if per == "published" else short
            chosen = torch.zeros(weight.shape, dtype=torch.bool)
            left = []
            for r, row in enumerate(s_target):
                order = row.sort(descending=True).indices
                each = int(0.1 * len(row) + half)
                chosen[r, order[:each]] = True
                left.append((float(row[order[each]]), r, int(order[each])))
            for _, r, c in sorted(left, reverse=True)[: max(0, short)]:
                chosen[r, c] = True
            votes += chosen & (s_target > s_base)
        wanted = votes > 3 * majority
        found = edit.zeroed.get(f"unet.{layer}.weight")
        mask = found.mask() if found else torch.zeros_like(wanted)
        assert torch.equal(mask, wanted), layer
        total += int(wanted.sum())
    assert total > 100


@torch.no_grad()
def plain_text_norms(pipeline: Any, prompts: list[str]) -> dict[str, Any]:
    """A of what each network of the text encoder's layers gives its second linear, over all tokens of some prompts."""
    squares: dict[str, Any] = {}
    for name, module in pipeline.text_encoder.named_modules():
        if name.endswith("mlp.activation_fn"):
            seen: list[Any] = []
            handle = module.register_forward_hook(lambda m, a, out, seen=seen: seen.extend(out[0].double()))
            for prompt in prompts:
                pipeline.encode_prompt(prompt, "cpu", 1, False)
            handle.remove()
            squares[name.replace("activation_fn", "fc2")] = sum((token / token.norm()) ** 2 for token in seen)
    return {name: each.sqrt() for name, each in squares.items()}


@pytest.mark.parametrize("rows", ["prompt", "both"])
def test_a_text_encoders_layers_are_measured_once_for_each_prompt(whole_double: Model, rows: Any) -> None:
    text = whole_double.pipeline.text_encoder
    sites = tuple(f"text_encoder.{name}" for name, _ in text.named_modules() if name.endswith("mlp.fc2"))
    with count_rows(whole_double) as count:
        edit = quick(sites=sites, rows=rows, per="published")(whole_double, CHURCH)
    assert count.rows == 0 and set(edit.names) == {f"{name}.weight" for name in sites}
    empty = [""] * 3 if rows == "both" else []
    target = plain_text_norms(whole_double.pipeline, ["church", "a church", "church", *empty])
    base = plain_text_norms(whole_double.pipeline, ["", "a", "", *empty])
    for name, norm in target.items():
        weight = text.get_parameter(f"{name}.weight").detach().double().abs()
        wanted = torch.zeros(weight.shape, dtype=torch.bool)
        for row, scores in enumerate(weight * norm):
            wanted[row, scores.sort(descending=True).indices[: int(0.1 * len(norm))]] = True
        assert torch.equal(edit.zeroed[f"text_encoder.{name}.weight"].mask(), wanted & (norm > base[name]))


def test_layers_of_both_networks_are_pruned_as_each_alone(sd1: Model) -> None:
    alone = [quick(sites=sites)(sd1, CHURCH) for sites in ("text-mlp", "MID")]
    together = quick(sites="text-mlp,MID")(sd1, CHURCH)
    assert set(together.names) == {*alone[0].names, *alone[1].names} and alone[0].names and alone[1].names
    for edit in alone:
        assert all(torch.equal(together.zeroed[name].mask(), edit.zeroed[name].mask()) for name in edit.names)


def test_the_window_is_a_part_of_any_schedule(sd1: Model) -> None:
    seen: list[tuple[int, int]] = []
    with count_rows(sd1) as count:
        quick(sampling_steps=20, window=(0.0, 0.2), pairs=2)(sd1, CHURCH, progress=lambda *told: seen.append(told))
    assert (count.rows, count.grad_rows) == (4 * 4 * 2, 0)  # the first 4 of 20 steps, two prompts, with guidance
    assert seen[-1] == (32, 32)
    late = quick(window=(0.5, 1.0))(sd1, CHURCH)
    assert late != quick()(sd1, CHURCH)
    with pytest.raises(BadWindow, match="none of the 2"):
        quick(sampling_steps=2, window=(0.0, 0.2))(sd1, CHURCH)


def test_the_window_of_the_sites_is_recorded(sd1: Model) -> None:
    outputs = sd1.sites.only(level="layer", kind="feed-forward", name="*.net.2")
    edit = quick(sites=outputs.during(0.25, 1.0))(sd1, CHURCH)
    assert edit.provenance.settings["window"] == (0.25, 0.5)
    assert edit == quick(window=(0.25, 0.5))(sd1, CHURCH)


def test_majority_share_and_base_narrow_and_widen(sd1: Model) -> None:
    def size(edit: Any) -> int:
        return sum(len(zeroed) for zeroed in edit.zeroed.values())

    once, often = quick(majority=0.0)(sd1, CHURCH), quick(majority=0.9)(sd1, CHURCH)
    assert size(often) < size(once)
    for name, zeroed in often.zeroed.items():
        assert not (zeroed.mask() & ~once.zeroed[name].mask()).any()
    assert quick(base="dog")(sd1, CHURCH) != quick()(sd1, CHURCH)
    with pytest.raises(BadArgument, match="No weight is chosen for 'church'"):
        quick(base="church")(sd1, CHURCH)  # the same prompts excite nothing more
    both = quick()(sd1, [CHURCH, Concept("dog")])
    assert size(both) > size(quick()(sd1, CHURCH))


@pytest.mark.parametrize("family", ["sd2", "sdxl"])
def test_every_family_is_pruned_in_its_outputs(family: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(family)
    edit = quick(pairs=1)(model, CHURCH)
    assert all(name.endswith(".ff.net.2.weight") for name in edit.names)
    assert quick(pairs=1)(model, CHURCH) == edit


def test_any_linear_layers_may_be_pruned(sd1: Model) -> None:
    sites = sd1.sites.only(kind="cross-attention", label="MID", level="module")
    edit = quick(sites=sites)(sd1, CHURCH)
    assert set(edit.names) <= {name for site in sites for name in site.parameters}
    assert edit.provenance.settings["sites"] == tuple(site.name for site in sites)
    with pytest.raises(EmptySelection, match="no linear layer"):
        quick(sites=sd1.sites.only(kind="input"))(sd1, CHURCH)
    with pytest.raises(EmptySelection, match="the name 'input7'"):
        quick(sites="input7")(sd1, CHURCH)
    assert quick(sites=edit.provenance.settings["sites"])(sd1, CHURCH) == edit


def test_settings_out_of_range_and_broken_weights_are_named(sd1: Model) -> None:
    for changes in ({"share": 0}, {"pairs": 0}, {"majority": 1.0}, {"seed": -1}, {"guidance_scale": float("inf")}):
        with count_rows(sd1) as count, pytest.raises(BadArgument):
            quick(**changes)(sd1, CHURCH)
        assert count.rows == 0
    model = Model(tiny_sd1())
    with torch.no_grad():
        model.parameter("unet.conv_in.weight")[0] = float("nan")
    with pytest.raises(NotFinite, match=r"ff\.net\.2 reads"):
        quick()(model, CHURCH)


def test_half_precision_is_pruned(sd1: Model) -> None:
    half = Model(tiny_sd1().to(dtype=torch.bfloat16))
    edit = quick(pairs=1)(half, CHURCH)
    with edit.on(half):
        name = edit.names[0]
        assert (half.parameter(name).detach()[edit.zeroed[name].mask()] == 0).all()


def test_the_defaults_are_the_published_values() -> None:
    prune = ConceptPrune()
    assert (prune.share, prune.majority, prune.window) == (None, 0.0, (0.0, 0.2))
    assert ConceptPrune.preset("CompVis/stable-diffusion-v1-4") == prune
    assert methods.ConceptPrune is ConceptPrune


def test_of_a_style_the_authors_zero_half_as_much(sd1: Model) -> None:
    for kind, share in (("style", 0.01), ("object", 0.02)):
        concept = Concept("church", kind=kind)
        assert quick(share=None)(sd1, concept) == quick(share=share)(sd1, concept)
