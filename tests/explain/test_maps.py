"""Attention maps against a plain transcription of DAAM, and what must not change them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import mannwhitneyu

from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.emoji.captions import single_picture
from turpentine.emoji.world import TEN, render
from turpentine.explain._image_stats import foreground, overlap
from turpentine.explain._masks import enlarge, mask_of
from turpentine.explain.maps import Maps
from turpentine.explain.maps_finding import MapsFinding
from turpentine.models import Conditioning, Model, Sites, sample
from turpentine.models.hooks import record
from turpentine.models.text import find_subject
from turpentine.stats.intervals import mean_score
from turpentine.testing.toys import toy

NOWHERE = Sites((), ())
PROMPTS, SEEDS, STEPS = ["a church and a dog", "a dog"], [0, 1], 3


def by_hand(model: Model, prompt: str, seed: int, word: str) -> np.ndarray:
    """One picture; queries and keys as their layers gave them; loops over steps, modules and heads."""
    cond, empty = model.encode([prompt]), model.encode([""])
    layers = model.sites.only(kind="cross-attention", level="layer", name=["*.to_q", "*.to_k"])
    with record(model, layers) as kept:
        steps = list(sample(model, cond, empty, model.noise([seed]), steps=STEPS, guidance_scale=4.0))
    height, width = steps[0].x.shape[-2:]
    total = torch.zeros(height, width)
    subject = find_subject(model.pipeline.tokenizer, prompt, word, length=cond.hidden.shape[1]).subject
    for site in model.sites.only(kind="cross-attention", level="module"):
        heads = model.module(site.name).heads
        for q, k in zip(kept.outputs[f"{site.name}.to_q"], kept.outputs[f"{site.name}.to_k"], strict=True):
            for qh, kh in zip(q[0].float().chunk(heads, -1), k[0].float().chunk(heads, -1), strict=True):
                p = (qh @ kh.T / qh.shape[-1] ** 0.5).softmax(-1)[:, list(subject)]
                side = round(len(p) ** 0.5)
                small = p.T.reshape(1, len(subject), side, side)
                total += F.interpolate(small, (height, width), mode="bicubic").clamp(min=0)[0].mean(0)
    return total.numpy()


@pytest.mark.parametrize(("picture", "word"), [(0, "church"), (0, "dog"), (1, "dog")])
def test_a_map_is_daams(sd1: Model, picture: int, word: str) -> None:
    found = Maps(("dog",) if picture else ("church", "dog"), steps=STEPS)(sd1, PROMPTS[picture], SEEDS[picture])
    heat, expected = found.heats[0][word], by_hand(sd1, PROMPTS[picture], SEEDS[picture], word)
    np.testing.assert_allclose(heat, expected, rtol=1e-3, atol=1e-3 * expected.max())


def test_the_authors_mask_takes_the_smallest_value_off_first() -> None:
    """`expand_as` of the `daam` package: (im − im.min()) / (im.max() − im.min()), cut at τ."""
    image = Image.new("RGB", (6, 5))
    heat = np.random.default_rng(0).uniform(3.0, 4.0, (5, 6))
    large = enlarge(heat, image)
    theirs = (large - large.min()) / (large.max() - large.min()) >= 0.4
    assert np.array_equal(mask_of(heat, image, 0.4), theirs), "the default: no share of a level map is vacuous"
    assert 0.2 < theirs.mean() < 0.8
    assert np.array_equal(mask_of(heat, image, 0.4, "maximum"), large / large.max() >= 0.4)
    assert mask_of(heat, image, 0.4, "maximum").all()


def test_the_rule_of_masks_is_in_the_table_and_the_overlaps(sd1: Model) -> None:
    at_most, between = (Maps(steps=1, rule=rule)(sd1, "a church", 0) for rule in ("maximum", "range"))
    heat, image = between.heats[0]["church"], between.images[0]
    assert np.array_equal(between.mask(0, "church"), mask_of(heat, image, 0.4, "range"))
    assert between.table["iou"][1] == overlap(mask_of(heat, image, 0.4, "range"), foreground(image))
    assert between.mask(0, "church").sum() < at_most.mask(0, "church").sum()


def test_a_word_that_is_there_twice_is_looked_at_in_both_places(sd1: Model) -> None:
    """Its map is the sum of those of the two places, each by hand."""
    twice, words = "a dog and a dog", ("a dog", "and", "a", "dog")
    found = Maps(words, steps=STEPS)(sd1, twice, 0).heats[0]
    np.testing.assert_allclose(2 * found["a dog"], found["a"] + found["dog"], rtol=1e-4)
    last = by_hand(sd1, twice, 0, "dog")
    assert (found["dog"] > last).all()
    once = by_hand(sd1, twice, 0, "dog and")
    np.testing.assert_allclose(found["dog"], last + 2 * once - found["and"], rtol=1e-3, atol=1e-3 * last.max())


def test_capitals_and_punctuation_are_no_part_of_a_word(emoji: Model) -> None:
    plain = Maps(("church", "dog"), steps=2)(emoji, "a Church, a dog! a church", 0)
    spelt = Maps(("CHURCH.", "(dog)"), steps=2)(emoji, "a Church, a dog! a church", 0)
    assert list(spelt.heats[0]) == ["CHURCH.", "(dog)"]
    for one, other in zip(plain.heats[0].values(), spelt.heats[0].values(), strict=True):
        np.testing.assert_array_equal(one, other)
    every = Maps(steps=2)(emoji, "a Church, a dog! a church", 0)
    assert list(every.heats[0]) == ["a", "Church", "dog"]
    np.testing.assert_allclose(every.heats[0]["Church"], plain.heats[0]["church"], rtol=1e-4)


def test_recording_changes_no_picture_and_batches_change_no_map(sd1: Model) -> None:
    together = Maps(steps=STEPS)(sd1, PROMPTS, SEEDS)
    apart = Maps(steps=STEPS, batch_size=1)(sd1, PROMPTS, SEEDS)
    plain = sd1.generate(PROMPTS, seeds=SEEDS, steps=STEPS)
    for image, other, drawn in zip(together.images, apart.images, plain, strict=True):
        assert np.abs(np.asarray(image, int) - np.asarray(drawn, int)).max() <= 2
        assert np.abs(np.asarray(image, int) - np.asarray(other, int)).max() <= 2
    for one, other in zip(together.heats, apart.heats, strict=True):
        assert one.keys() == other.keys()
        for word in one:
            np.testing.assert_allclose(one[word], other[word], rtol=1e-2, atol=1e-3)
    assert list(together.heats[0]) == ["a", "church", "and", "dog"], "every word, once"


def test_pictures_may_be_of_any_shape(sd1: Model) -> None:
    height, width = sd1.size
    found = Maps(("dog",), steps=2)(sd1, "a dog", 0, size=(height, 2 * width))
    assert found.images[0].size == (2 * width, height)
    latents = sd1.noise([0], size=(height, 2 * width)).shape[-2:]
    assert found.heats[0]["dog"].shape == tuple(latents)


def test_some_modules_and_some_steps(sd1: Model) -> None:
    sites = sd1.sites.only(kind="cross-attention", level="module")
    whole = Maps(("dog",), steps=4)(sd1, "a dog", 0).heats[0]["dog"]
    parts = [
        Maps(("dog",), sites=some, steps=4)(sd1, "a dog", 0).heats[0]["dog"]
        for some in (sites.during(0, 0.5), sites.during(0.5, 1))
    ]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-4, atol=1e-4)


def test_the_table_and_the_overlaps_follow_from_the_masks(emoji: Model) -> None:
    found = Maps(("church", "noto style"), steps=8)(emoji, "a church in noto style", [0, 1])
    row = found.table.row(by_predicate=(pl.col("seed") == 1) & (pl.col("word") == "church"), named=True)
    thing, large = foreground(found.images[1]), enlarge(found.heats[1]["church"], found.images[1])
    assert row["iou"] == overlap(found.mask(1, "church"), thing)
    assert row["auc"] == pytest.approx(roc_auc(large, thing))
    assert row["hit"] == thing[np.unravel_index(large.argmax(), large.shape)]
    assert found.table.group_by("seed").agg(pl.col("mass").sum())["mass"].to_list() == pytest.approx([1.0, 1.0])
    two = found.overlaps().row(by_predicate=(pl.col("picture") == 0) & (pl.col("head") == "church"), named=True)
    a, b = found.mask(0, "church"), found.mask(0, "noto style")
    assert two["iou"] == overlap(a, b)
    assert (two["iod"], two["ioh"]) == ((a & b).sum() / b.sum(), (a & b).sum() / a.sum())


def roc_auc(values: np.ndarray, mask: np.ndarray) -> float:
    """By scipy: Mann and Whitney's U over the number of pairs."""
    u = mannwhitneyu(values[mask], values[~mask]).statistic
    return float(u / (mask.sum() * (~mask).sum()))


def planted(side: int = 8) -> tuple[MapsFinding, np.ndarray]:
    """Two words' maps of one picture, of which the first lies where the thing is; both nearly level."""
    thing = np.zeros((side, side), bool)
    thing[1:3, 5:7] = True
    heats = {"dog": 10 + thing.astype(float), "on": 10 + 0.5 * np.eye(side) + 0.001 * thing}
    image = Image.fromarray(np.where(thing[..., None], 255, 0).astype(np.uint8).repeat(3, 2))
    table = pl.DataFrame({"prompt": ["a dog on"] * 2, "word": list(heats)})
    return MapsFinding(table, NOWHERE, "", [heats], [image], 0.4), thing


def test_a_map_is_held_against_a_mask_by_rank_and_by_where_it_is_largest() -> None:
    finding, thing = planted()
    assert np.array_equal(foreground(finding.images[0]), thing)
    dog, on = finding.against([thing]).iter_rows(named=True)
    assert (dog["auc"], dog["hit"], dog["iou"]) == (1.0, True, 1.0)
    assert on["auc"] == pytest.approx(roc_auc(finding.heats[0]["on"].astype(np.float32), thing))
    assert on["auc"] < 0.9 and not on["hit"]
    elsewhere = finding.against([np.roll(thing, (4, -4), (0, 1))])
    assert elsewhere["auc"][0] < 0.5 and not elsewhere["hit"][0] and elsewhere["iou"][0] == 0
    assert replace(finding, rule="maximum").mask(0, "dog").all(), "a share of the largest value says nothing here"


def test_nothing_and_everything_have_no_rank() -> None:
    finding, thing = planted()
    for mask in (np.zeros_like(thing), np.ones_like(thing)):
        assert finding.against([mask])["auc"].null_count() == finding.against([mask])["hit"].null_count() == 2
    with pytest.raises(BadArgument, match="2 masks are not one for each of 1 pictures"):
        finding.against([thing, thing])


def test_what_stands_out_from_a_background_is_where_the_sprite_was_put() -> None:
    """So a drawn picture's thing is where `foreground` says: against the alpha of rendered sprites."""
    rng, overlaps = np.random.default_rng(0), []
    for obj in TEN:
        picture = single_picture(rng, obj, small=True)
        with_it, without = (render(replace(picture, placed=placed)) for placed in (picture.placed, ()))
        true = np.abs(with_it.astype(int) - without).max(-1) > 30
        seen = foreground(Image.fromarray(with_it))
        assert not (seen & ~true).any(), "none of the background"
        overlaps.append(overlap(seen, true))
    assert np.mean(overlaps) > 0.8 and min(overlaps) > 0.65, "all but faint edges"


def test_intervals_of_dependencies_are_over_prompts(emoji: Model) -> None:
    found = Maps(("church", "dog"), steps=1)(
        emoji, ["a church and a dog"] * 3 + ["a dog and a church"] * 3, [*range(3)] * 2
    )
    row = found.dependencies().row(0, named=True)
    values = found.overlaps().filter(pl.col("head") == row["head"], pl.col("dependent") == row["dependent"])["iou"]
    clusters = [("a church and a dog",)] * 3 + [("a dog and a church",)] * 3
    assert tuple(row[name] for name in ("value", "low", "high")) == mean_score(values.to_list(), clusters=clusters)


def test_dependencies_are_means_over_the_pictures(emoji: Model) -> None:
    found = Maps(("church", "noto"), steps=2)(emoji, "a church in noto style", [0, 1, 2])
    table = found.dependencies()
    assert table.select("head", "dependent").unique(maintain_order=True).rows() == [
        ("church", "noto"),
        ("noto", "church"),
    ]
    masks = [(found.mask(n, "church"), found.mask(n, "noto")) for n in range(3)]
    expected = {
        "mIoU": np.mean([(a & b).sum() / (a | b).sum() for a, b in masks]),
        "mIoD": np.mean([(a & b).sum() / b.sum() for a, b in masks]),
        "mIoH": np.mean([(a & b).sum() / a.sum() for a, b in masks]),
    }
    for row in table.filter(pl.col("head") == "church").rows(named=True):
        assert row["value"] == pytest.approx(expected.pop(row["measure"]))
        assert row["low"] <= row["value"] <= row["high"] and row["n"] == 3
    assert not expected


def test_they_are_drawn(emoji: Model, tmp_path) -> None:
    Maps(steps=2)(emoji, ["a church", "a dog in ink style"], 0).plot().savefig(tmp_path / "maps.png")
    assert Image.open(tmp_path / "maps.png").height > 200


def test_a_word_that_is_not_there_is_told(sd1: Model) -> None:
    with pytest.raises(EmptyConcept, match="'castle' is not in"):
        Maps(("castle",))(sd1, "a dog", 0)
    with pytest.raises(BadArgument, match=r"threshold is 0\.0: give over 0 and up to 1"):
        Maps(threshold=0.0)(sd1, "a dog", 0)


TWO = ["a red church", "a dog and a fish"]


@contextmanager
def padding_in_another_order(model: Model, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Turn the order of what all prompts have as padding, with its places if it has any; fill what a mask hides."""
    places, plain = [model.readings[0].text.find(prompt, "a") for prompt in TWO], model.encode
    before, end = (rule(getattr(each, name) for each in places) for rule, name in ((min, "padding"), (max, "end")))
    padding = slice(0, before) if before else slice(end + 1, places[0].length)
    assert padding.stop - padding.start > 1

    def turned(x: torch.Tensor, dim: int) -> torch.Tensor:
        order = torch.arange(x.shape[dim])
        order[padding] = order[padding].flip(0)
        return x.index_select(dim, order)

    def encode(*args: Any, **how: Any) -> Conditioning:
        cond = plain(*args, **how)
        if cond.mask is None:
            return replace(cond, hidden=turned(cond.hidden, 1))
        noise = torch.randn(cond.hidden.shape, generator=torch.Generator().manual_seed(0)).to(cond.hidden)
        return replace(cond, hidden=torch.where(cond.mask.bool()[..., None], cond.hidden, noise))

    def place(_: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        given = kwargs.get("txt_ids")
        return args, kwargs if given is None else {**kwargs, "txt_ids": turned(given, 0)}

    handle = model.denoiser.register_forward_pre_hook(place, with_kwargs=True)
    try:
        with patch.context() as context:
            context.setattr(model, "encode", encode)
            yield
    finally:
        handle.remove()


@pytest.mark.parametrize("family", ["sd3", "flux", "flux2", "flux2-dev", "qwen", "z"])
def test_in_joint_attention_the_order_of_padding_changes_no_words_map(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where padding is read; where a mask hides it, what stands there changes nothing."""
    model = toy(family)
    plain = Maps(steps=2)(model, TWO, [0, 1])
    with padding_in_another_order(model, monkeypatch):
        other = Maps(steps=2)(model, TWO, [0, 1])
    for one, two in zip(plain.heats, other.heats, strict=True):
        assert list(one) == list(two)
        for word in one:
            np.testing.assert_allclose(one[word], two[word], rtol=1e-3, atol=1e-6)
