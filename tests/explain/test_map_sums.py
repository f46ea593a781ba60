"""Sums of attention: what is clamped, and the parts that they are taken apart into."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from turpentine.core.errors import UnknownName
from turpentine.explain.maps import Maps
from turpentine.models import Model


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


PROMPTS, SEEDS = ["a church and a dog", "a dog"], [0, 1]


def test_what_bicubic_interpolation_takes_below_zero_is_zero(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """DAAM clamps: a peak has no negative ring round it, which would eat the maps of other heads and steps."""
    probability = torch.zeros(1, 2, 16, 16)
    probability[0, :, 5, 2] = 1.0  # of two heads all of "church", at one place of a coarse grid
    monkeypatch.setattr(Model, "attention", lambda model, call: iter([(slice(0, 2), probability)]))
    heat = Maps(steps=1)(sd1, "a church", 0).heats[0]["church"]
    raw = F.interpolate(probability[:, :1, :, 2].reshape(1, 1, 4, 4), heat.shape, mode="bicubic")[0, 0]
    modules = len(list(sd1.sites.only(kind="cross-attention", level="module")))
    assert raw.min() < -0.02
    np.testing.assert_allclose(heat, 2 * modules * raw.clamp(min=0), atol=1e-5)


def test_a_map_is_the_sum_of_its_modules_factors_and_heads(sd1: Model) -> None:
    whole = Maps(steps=2)(sd1, PROMPTS, SEEDS)
    modules = [site.label for site in sd1.sites.only(kind="cross-attention", level="module")]
    for per in ("module", "factor", "head"):
        found = Maps(steps=2, per=per)(sd1, PROMPTS, SEEDS)
        own = [part for part in found.parts if part != "all"]
        for picture, heats in enumerate(whole.heats):
            for word, heat in heats.items():
                total = np.sum([found.parts[part][picture][word] for part in own], axis=0)
                np.testing.assert_allclose(total, heat, rtol=1e-4)
        assert found.summary() == whole.summary()
        assert len(found.table) == (1 + len(own)) * len(whole.table)
        assert own == modules if per == "module" else own[0].startswith("DOWN1 H0" if per == "head" else "÷")


def test_a_part_alone_is_the_finding_of_its_module_alone(sd1: Model) -> None:
    found = Maps(steps=2, per="module")(sd1, PROMPTS, SEEDS)
    up, alone = found.of("UP6"), Maps(steps=2, sites="UP6")(sd1, PROMPTS, SEEDS)
    np.testing.assert_allclose(up.heats[0]["dog"], alone.heats[0]["dog"], rtol=1e-5)
    assert up.table["iou"].to_list() == pytest.approx(alone.table["iou"].to_list())
    assert up.overlaps().equals(alone.overlaps())
    heads = Maps(steps=2, per="head")(sd1, PROMPTS, SEEDS)
    both = sum(heads.of(f"UP6 H{head}").heats[0]["dog"] for head in range(sd1.module(_module(sd1, "UP6")).heads))
    np.testing.assert_allclose(both, alone.heats[0]["dog"], rtol=1e-4)
    with pytest.raises(UnknownName, match="'UP99': there are all, DOWN1"):
        found.of("UP99")


def _module(model: Model, label: str) -> str:
    (site,) = model.sites.only(kind="cross-attention", level="module", label=label)
    return site.name
