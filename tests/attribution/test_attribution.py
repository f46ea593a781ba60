"""Attributions: the first-order change of J, summed exactly, in tables that add up, and how far it holds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from edits.weights import weights_hash
from tiny import tiny_sd1

from turpentine.attribution import Objective, approximation, attributable, attribute
from turpentine.core.errors import BadArgument, EmptySelection, NotFinite
from turpentine.models import Model, Trajectory, count_rows

FF = "feed-forward"


def church(model: Model, steps: int = 3, prompts: tuple[str, ...] = ("church", "a dog")) -> Objective:
    seeds = list(range(len(prompts)))
    return Objective.apart(model, Trajectory.record(model, prompts, seeds, steps=steps, guidance_scale=3.0))


@pytest.fixture(scope="module")
def objective(sd1: Model) -> Objective:
    return church(sd1)


# J


def test_j_of_a_run_is_the_mean_of_squared_distances(sd1: Model) -> None:
    run = Trajectory.record(sd1, ["church", "a dog"], [0, 1], steps=3, guidance_scale=3.0)
    total = 0.0
    for step in range(3):
        for row in range(2):
            total += float((run.eps_uncond[step, row].double() - run.eps_cond[step, row].double()).square().sum())
    assert Objective.apart(sd1, run).value(sd1) == pytest.approx(total / 6, rel=1e-4)
    late = Objective.apart(sd1, run, steps=range(2, 3))
    assert len(late) == 2
    assert late.t.tolist() == [run.timesteps[2]] * 2
    assert Objective.apart(sd1, run).value(sd1, batch_size=1) == pytest.approx(total / 6, rel=1e-4)


def test_j_of_a_model_that_predicts_v_is_of_v_where_that_is_asked_for(sd2: Model) -> None:
    run = Trajectory.record(sd2, ["church", "a dog"], [0, 1], steps=3, guidance_scale=3.0)
    total, in_eps = 0.0, 0.0
    for step in range(3):
        t = run.timesteps[step]
        outputs = [sd2.denoiser(run.x[step], t, sd2.encode([text] * 2).hidden).sample for text in ("", "a dog")]
        church = sd2.denoiser(run.x[step], t, sd2.encode(["church"] * 2).hidden).sample
        for row, own in enumerate((church, outputs[1])):
            apart = float((outputs[0][row].double() - own[row].double()).square().sum())
            total += apart
            in_eps += apart * float(sd2.pipeline.scheduler.alphas_cumprod[t])
    in_v = Objective.apart(sd2, run, is_in_output=True)
    assert in_v.value(sd2) == pytest.approx(total / 6, rel=1e-3)
    assert in_v[[0, 3]].is_in_output
    assert Objective.apart(sd2, run).value(sd2) == pytest.approx(in_eps / 6, rel=1e-3)


def test_another_base_is_predicted(sd1: Model) -> None:
    run = Trajectory.record(sd1, ["church"], [0], steps=2, guidance_scale=3.0)
    assert Objective.apart(sd1, run, base="church").value(sd1) == pytest.approx(0, abs=1e-9)
    with count_rows(sd1) as count:
        other = Objective.apart(sd1, run, base="a dog")
    assert (count.rows, count.grad_rows) == (2, 0)
    direct = [sd1.eps(run.x[s], run.timesteps[s], sd1.encode(["a dog"])) for s in range(2)]
    torch.testing.assert_close(other.target, torch.cat(direct))


def test_j_of_pictures_is_the_loss_of_training_turned_round(sd1: Model) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    made = Objective.denoising(sd1, latents, ["church", "a dog"], seeds=[7, 8, 9, 10])
    bars = sd1.pipeline.scheduler.alphas_cumprod.double()
    total = 0.0
    for draw, seed in enumerate([7, 8, 9, 10]):
        noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
        t = 125 + 250 * draw  # the middles of four parts of 1000
        for row, prompt in enumerate(["church", "a dog"]):
            x = bars[t].sqrt() * latents[row] + (1 - bars[t]).sqrt() * noise[row]
            eps = sd1.denoiser(x[None].float(), t, sd1.encode([prompt]).hidden).sample[0]
            total += float((noise[row] - eps).double().square().sum())
    assert made.value(sd1) == pytest.approx(-total / 8, rel=1e-5)


# α


def plain_alpha(model: Model, objective: Objective, name: str) -> torch.Tensor:
    """w·∂J/∂w of one weight in fp64, a point at a time, in a network of its own."""
    pipeline = tiny_sd1()
    unet = pipeline.unet.double()
    weight = unet.get_parameter(name.removeprefix("unet.")).requires_grad_()
    hidden = model.encode(["church", "a dog"]).hidden.double()
    for point in range(len(objective)):
        at = slice(point, point + 1)
        eps = unet(objective.x[at].double(), objective.t[at], hidden[int(objective.row[point])][None]).sample
        (((objective.target[at].double() - eps) ** 2).sum() / len(objective)).backward()
    return weight.detach() * weight.grad


def test_alpha_is_the_weight_times_the_gradient(sd1: Model, objective: Objective) -> None:
    before = weights_hash(sd1)
    found = attribute(sd1, objective, FF, batch_size=4)
    assert weights_hash(sd1) == before
    assert set(found.alpha) == {
        f"unet.{n}" for n, _ in sd1.denoiser.named_parameters() if ".ff." in n and "weight" in n
    }
    assert found.value == pytest.approx(objective.value(sd1), rel=1e-6)
    for name in list(found.alpha)[::7]:
        plain = plain_alpha(sd1, objective, name)
        assert (found.alpha[name].double() - plain).norm() < 1e-5 * plain.norm()


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_scaling_a_layer_moves_j_by_its_alpha(family: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(family)
    points = church(model, steps=2, prompts=("church",))
    found = attribute(model, points, "all")
    counting = found.layers().sort(pl.col("alpha").abs())[-3:]  # where rounding is small beside it
    for name, alpha in zip(counting["site"], counting["alpha"], strict=True):
        weight = model.parameter(f"{name}.weight").detach()
        up, down = (points.value(model, {f"{name}.weight": (1 + by) * weight}) for by in (0.01, -0.01))
        assert (up - down) / 0.02 == pytest.approx(alpha, rel=0.02)


def test_gradients_are_summed_in_fp32_whatever_the_model() -> None:
    model = Model(tiny_sd1().to(dtype=torch.bfloat16))
    points = church(model, steps=4, prompts=("church",))
    every = attribute(model, points, FF, batch_size=1)
    alone = [attribute(model, points[[k]], FF) for k in range(len(points))]
    for name, alpha in every.alpha.items():
        assert alpha.dtype == torch.float32
        mean = torch.stack([one.alpha[name].double() for one in alone]).mean(0)
        assert (alpha.double() - mean).norm() <= 1e-6 * mean.norm()  # bf16 would be off by a hundredth


def test_batches_change_the_last_bits_only_and_rows_are_counted(sd1: Model, objective: Objective) -> None:
    seen: list[tuple[int, int]] = []
    with count_rows(sd1) as count, torch.inference_mode():
        one = attribute(sd1, objective, FF, batch_size=4, progress=lambda *told: seen.append(told))
    assert (count.calls, count.rows, count.grad_rows) == (2, 6, 6)
    assert seen == [(4, 6), (6, 6)]
    other = attribute(sd1, objective, FF, batch_size=1)
    for name, alpha in one.alpha.items():
        torch.testing.assert_close(alpha, other.alpha[name], rtol=1e-4, atol=1e-6)


def test_a_selection_is_the_linears_and_convolutions_of_the_denoiser(sd1: Model) -> None:
    names = attributable(sd1, "resnet")
    inside = ("conv1.weight", "conv2.weight", "conv_shortcut.weight", "time_emb_proj.weight")
    assert all(name.endswith(inside) for name in names)
    assert attributable(sd1, sd1.sites.only(label="MID", kind=FF, level="module")) == tuple(
        f"unet.mid_block.attentions.0.transformer_blocks.0.ff.net.{layer}.weight" for layer in ("0.proj", "2")
    )
    assert not any("norm" in name for name in attributable(sd1, "all"))
    with pytest.raises(EmptySelection, match="cross-attention"):
        attributable(sd1, "crossattention")
    with pytest.raises(EmptySelection, match="no weight of a linear"):
        attributable(sd1, sd1.sites.only(kind="norm"))
    with pytest.raises(BadArgument, match="text_encoder"):
        attributable(sd1, sd1.sites.only(kind="text-mlp"))


def test_what_is_not_finite_is_named(sd1: Model, objective: Objective) -> None:
    broken = replace(objective[:2], x=objective.x[:2].clone())
    broken.x[0, 0, 0, 0] = math.nan
    with pytest.raises(NotFinite, match=r"unet\..* is NaN or infinite at timestep"):
        attribute(sd1, broken, FF)
    with pytest.raises(BadArgument, match="batch of 0"):
        attribute(sd1, objective, FF, batch_size=0)


def test_a_large_gradient_in_half_precision_is_no_nan() -> None:
    model = Model(tiny_sd1().to(dtype=torch.float16))
    points = church(model, steps=1, prompts=("church",))
    small = attribute(model, points, "resnet")
    weights = {name: model.parameter(name).float() for name in small.alpha}
    gradients = torch.cat([(alpha / weights[name]).flatten() for name, alpha in small.alpha.items()]).nan_to_num()
    points = replace(points, sign=2e4 / float(gradients.abs().max()))
    assert points.sign * float(gradients.norm()) > torch.finfo(torch.float16).max
    large = attribute(model, points, "resnet")
    for name, alpha in large.alpha.items():
        assert (alpha - points.sign * small.alpha[name]).norm() < 0.05 * alpha.norm()


# Tables


def test_the_tables_add_up(sd1: Model, objective: Objective) -> None:
    found = attribute(sd1, objective, "all")
    every = torch.cat([alpha.flatten() for alpha in found.alpha.values()]).double()
    for table in (found.layers(), found.modules()):
        assert table["alpha"].sum() == pytest.approx(float(every.sum()), abs=1e-6 * float(every.abs().sum()))
        assert table["positive"].sum() == pytest.approx(float(every[every > 0].sum()), rel=1e-6)
        assert table["negative"].sum() == pytest.approx(float(every[every < 0].sum()), rel=1e-6)
        assert table["weights"].sum() == len(every)
        assert table["site"].is_unique().all()
    order = [site.name for site in sd1.sites]
    assert found.modules()["site"].to_list() == sorted(found.modules()["site"], key=order.index)
    assert "unet.conv_in" in set(found.modules()["site"])  # a lone layer is a module of its own


def test_heads_have_rows_of_the_queries_and_columns_of_the_output(sd1: Model, objective: Objective) -> None:
    found = attribute(sd1, objective, "cross-attention")
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn2"
    heads = sd1.module(name).heads
    table = found.heads().filter(found.heads()["site"] == name)
    assert table["head"].to_list() == list(range(heads))
    for head in range(heads):
        total = 0.0
        for part in ("to_q", "to_k", "to_v"):
            alpha = found.alpha[f"{name}.{part}.weight"].double()
            width = alpha.shape[0] // heads
            total += float(alpha[head * width : (head + 1) * width].sum())
        alpha = found.alpha[f"{name}.to_out.0.weight"].double()
        width = alpha.shape[1] // heads
        total += float(alpha[:, head * width : (head + 1) * width].sum())
        assert table["alpha"][head] == pytest.approx(total, rel=1e-6, abs=1e-9)
    assert found.heads()["alpha"].sum() == pytest.approx(found.modules()["alpha"].sum(), rel=1e-5)
    assert attribute(sd1, objective[:1], FF).heads().is_empty()


def test_the_single_weights_are_the_largest(sd1: Model, objective: Objective) -> None:
    found = attribute(sd1, objective, "resnet")
    every = [(float(a), name, at) for name, alpha in found.alpha.items() for at, a in enumerate(alpha.flatten())]
    for sign, wanted in (("positive", sorted(every, reverse=True)[:20]), ("negative", sorted(every)[:20])):
        table = found.weights(20, sign)  # type: ignore[arg-type]
        for row, (alpha, name, at) in zip(table.iter_rows(named=True), wanted, strict=True):
            weight = sd1.parameter(name)
            assert row["alpha"] == pytest.approx(alpha)
            assert f"{row['site']}.weight" == name
            assert row["row"] * weight[0].numel() + row["column"] == at
            assert row["weight"] == pytest.approx(float(weight.flatten()[at]))


# The check


def test_the_first_order_foretells_small_subsets(sd1: Model, objective: Objective) -> None:
    found = attribute(sd1, objective[:1], FF)
    before = weights_hash(sd1)
    with count_rows(sd1) as count:
        check = approximation(found, trials=12, share=0.0002)
    assert count.rows == 13
    assert weights_hash(sd1) == before
    assert check.r > 0.7
    assert check.low < check.r < check.high <= 1
    np.testing.assert_allclose(check.r, np.corrcoef(check.predicted, check.measured)[0, 1], rtol=1e-9)


def test_a_measured_change_is_of_weights_set_to_zero(sd1: Model, objective: Objective) -> None:
    found = attribute(sd1, objective[:1], FF)
    check = approximation(found, trials=4, share=1.0, seed=3)  # about 63 % of the weights, each once
    ends = np.cumsum([alpha.numel() for alpha in found.alpha.values()])
    drawn = set(np.random.default_rng((3, 0)).integers(ends[-1], size=ends[-1]).tolist())
    model = Model(tiny_sd1())
    predicted = 0.0
    for (name, alpha), end in zip(found.alpha.items(), ends, strict=True):
        start = end - alpha.numel()
        mask = torch.tensor([at in drawn for at in range(start, end)]).reshape(alpha.shape)
        predicted += float(alpha[mask].double().sum())
        model.parameter(name).data[mask] = 0
    assert check.predicted[0] == pytest.approx(predicted, rel=1e-5)
    assert check.measured[0] == pytest.approx(found.value - objective[:1].value(model), rel=1e-3, abs=1e-5)


def test_numbers_out_of_range_are_refused(sd1: Model, objective: Objective) -> None:
    found = attribute(sd1, objective[:1], FF)
    for bad in ({"trials": 3}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(BadArgument, match="4 trials"):
            approximation(found, **bad)
