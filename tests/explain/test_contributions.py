"""What attention adds against plain transcriptions through recorded outputs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from explain.joint import steps_of
from PIL import Image

from turpentine.core.errors import BadArgument, BadWindow
from turpentine.explain._image_stats import foreground
from turpentine.explain.contributions import Contributions
from turpentine.models import Model, record, sample
from turpentine.testing.toys import toy


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


PROMPTS, SEEDS, STEPS = ["a church in noto style", "in noto style"], [0, 1], 4


def outputs(model: Model, sites) -> dict[str, list]:
    with record(model, sites) as kept:
        cond, empty = model.encode(PROMPTS), model.encode([""])
        list(sample(model, cond, empty, model.noise(SEEDS), steps=STEPS, guidance_scale=4.0))
    return kept.outputs


@pytest.fixture(scope="module")
def found(emoji: Model):
    return Contributions(steps=STEPS)(emoji, PROMPTS, SEEDS)


def test_a_map_is_the_mean_norm_of_what_is_added(emoji: Model, found) -> None:
    """Of both attentions of UP4, the first in the third of four up blocks."""
    names = [f"unet.up_blocks.2.attentions.0.transformer_blocks.0.attn{n}" for n in (1, 2)]
    assert list(found.heats) == names
    kept = outputs(emoji, emoji.sites.named(names))
    for name in names:
        for picture in range(2):
            expected = np.zeros((4, 4))
            for output in kept[name]:
                for place, channels in enumerate(output[picture].numpy().astype(np.float64)):
                    expected[divmod(place, 4)] += np.sqrt((channels**2).sum()) / STEPS
            np.testing.assert_allclose(found.heats[name][picture], expected, rtol=1e-3)


def test_a_window_has_its_own_steps_mean(emoji: Model) -> None:
    site = emoji.sites.only(kind="self-attention", level="module", label="UP9")
    late = Contributions(site.during(0.5, 1), steps=STEPS)(emoji, PROMPTS, SEEDS)
    (kept,) = outputs(emoji, site).values()
    (heats,) = late.heats.values()
    expected = np.mean([output.norm(dim=2)[1].reshape(8, 8).numpy() for output in kept[2:]], axis=0)
    np.testing.assert_allclose(heats[1], expected, rtol=1e-3)


def test_inside_is_what_stands_out(found) -> None:
    for row in found.rows.rows(named=True):
        picture = PROMPTS.index(row["prompt"])
        mask, heat = foreground(found.images[picture]), found.heats[row["site"]][picture]
        side = mask.shape[0] // 4
        large = heat.repeat(side, 0).repeat(side, 1)
        assert row["inside"] == pytest.approx(large[mask].mean(), rel=1e-4)
        assert row["outside"] == pytest.approx(large[~mask].mean(), rel=1e-4)


def test_the_table_sums_up_the_pictures(emoji: Model) -> None:
    found = Contributions(steps=2)(emoji, [PROMPTS[0]] * 3 + [PROMPTS[1]] * 3, [0, 1, 2] * 2)
    assert found.table.select("prompt", "kind").rows() == [
        (prompt, kind) for kind in ("self-attention", "cross-attention") for prompt in PROMPTS
    ]
    for row in found.table.rows(named=True):
        each = found.rows.filter((pl.col("prompt") == row["prompt"]) & (pl.col("site") == row["site"])).drop_nulls()
        assert row["n"] == len(each) > 0
        assert row["ratio"] == pytest.approx((each["inside"] / each["outside"]).mean())
        assert row["low"] <= row["ratio"] <= row["high"]
    ratios = dict(found.table.group_by("site").agg(pl.col("ratio").mean()).iter_rows())
    assert [site.name for site in found.sites(1)] == [max(ratios, key=lambda site: ratios[site])]


def test_recording_changes_no_picture_and_batches_no_map(emoji: Model, found) -> None:
    told = []
    apart = Contributions(steps=STEPS, batch_size=1)(
        emoji, PROMPTS, SEEDS, progress=lambda done, total: told.append((done, total))
    )
    for name, heats in found.heats.items():
        np.testing.assert_allclose(heats, apart.heats[name], rtol=1e-2)
    for image, drawn in zip(found.images, emoji.generate(PROMPTS, seeds=SEEDS, steps=STEPS), strict=True):
        assert np.abs(np.asarray(image, int) - np.asarray(drawn, int)).max() <= 2
    assert told == [(1, 2), (2, 2)]


def test_pictures_may_be_of_any_shape(sd1: Model, tmp_path) -> None:
    height, width = sd1.size
    found = Contributions(steps=2)(sd1, ["a dog", "a"], 0, size=(height, 2 * width))
    assert found.images[0].size == (2 * width, height)
    (tall, wide), *_ = {heat.shape for heats in found.heats.values() for heat in heats}
    assert wide == 2 * tall
    found.plot().savefig(tmp_path / "plot.png")
    assert Image.open(tmp_path / "plot.png").height > 200


def test_other_modules_and_windows_without_a_step_are_told(emoji: Model) -> None:
    with pytest.raises(BadArgument, match="is no attention module"):
        Contributions(emoji.sites.only(kind="resnet", level="module"))(emoji, "a church", 0)
    attention = emoji.sites.only(kind="self-attention", level="module")
    with pytest.raises(BadWindow, match="none of the 2 sampling steps"):
        Contributions(attention.during(0.9, 1), steps=2)(emoji, "a church", 0)


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_joint_attention_adds_by_the_text_and_by_the_picture(family: str) -> None:
    """Each part against it written out, which sums them to what the module gives; single blocks, too."""
    model = toy(family)
    labels = [site.label for site in model.sites.only(kind="joint-attention", level="module")]
    found = Contributions(",".join(labels), steps=2)(model, PROMPTS, SEEDS)
    assert found.table["kind"].to_list()[:2] == ["the picture's part"] * 2
    assert len(found.heats) == 2 * len(labels) == len(found.table) / 2 and len(found.sites(1)) == 1
    steps = steps_of(model, PROMPTS, SEEDS, 2)
    for at, pair in enumerate(zip(*[iter(found.heats.values())] * 2, strict=True)):
        for heats, is_text in zip(pair, (False, True), strict=True):
            expected = []
            for joints in steps:
                of_text = joints[at].mixed(True, False) - joints[at].mixed(False, False)
                part = of_text if is_text else joints[at].given - of_text
                expected.append(part.norm(dim=2))
            mean = torch.stack(expected).mean(0).reshape(np.shape(heats))
            np.testing.assert_allclose(heats, mean.detach(), rtol=2e-3, atol=1e-5)


def test_one_block_of_joint_attention_is_shown_by_default(tmp_path) -> None:
    model = toy("sd3")
    found = Contributions(steps=1)(model, "a church", 0)
    assert set(found.table["label"]) == {model.family.example_block()}
    assert found.summary().endswith(".")
    found.plot().savefig(tmp_path / "plot.png")
