"""Steps and guidance where nobody says: those of diffusers' pipelines, and the embedded worlds' own."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest

from turpentine.attack import Trial
from turpentine.models import Model, count_rows, load, steps_and_guidance
from turpentine.models.families import FAMILIES, Family
from turpentine.runs.protocol import SEEDS, Protocol
from turpentine.testing.toys import TOYS, TRANSFORMERS, tiny_flux, tiny_flux_2, toy

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
NAMED_OTHERWISE = {"QwenImagePipeline": "true_cfg_scale"}
"""Pipelines whose w has another name."""
MORE = {"ZImagePipeline": 1}
"""Pipelines whose scale is another number than w."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.pipeline_class)
def test_a_familys_defaults_are_its_pipelines(family: type[Family]) -> None:
    name = family.pipeline_class
    given = inspect.signature(getattr(diffusers, name).__call__).parameters
    scale = given[NAMED_OTHERWISE.get(name, "guidance_scale")].default + MORE.get(name, 0)
    assert family.drawing == (given["num_inference_steps"].default, scale)


def test_the_docs_have_them() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| `")]
    listed = {name: (int(row[1]), float(row[2])) for row in rows for name in row[0].split("`, `") if len(row) == 4}
    assert listed == {family.pipeline_class: family.drawing for family in FAMILIES}


def full_size(model: Model) -> Model:
    """The model with a native picture as large as those that people draw."""
    model.family.latent = replace(model.family.latent, height=512, width=512)
    return model


@pytest.mark.parametrize("name", [*TOYS, *TRANSFORMERS])
def test_a_model_of_full_size_takes_its_familys_and_a_small_one_the_worlds(name: str) -> None:
    model = toy(name)
    assert steps_and_guidance(model) == (20, 4.0)
    steps, scale = model.family.drawing
    assert steps_and_guidance(full_size(model)) == (steps, scale)
    assert steps_and_guidance(model, 3) == (3, scale) and steps_and_guidance(model, None, 0.0) == (steps, 0.0)
    assert (Protocol.of(model).steps, Trial.of(model, steps=3).guidance_scale) == (steps, scale)


@pytest.mark.parametrize("name", ["emoji", "emoji-64", "emoji-mmdit", "emoji-without-church"])
def test_every_model_that_ships_keeps_what_its_numbers_were_measured_with(name: str) -> None:
    """Keys of what is stored are made from these."""
    model: Any = load(name)
    facts = {"steps": 20, "guidance_scale": 4.0, "solver": "ddim", "seeds": list(SEEDS), "size": None}
    assert Protocol.of(model).facts() == {**facts, "negative_prompt": ""} == Protocol().facts()
    trial = {"steps": 20, "guidance_scale": 4.0, "batch_size": 20, "pictures": 20, "curve_pictures": 8}
    assert Trial.of(model).facts == trial == Trial().facts


def test_where_the_network_needs_no_guidance_its_pipeline_passes_the_scale_over() -> None:
    assert Model(tiny_flux(distilled=True)).family.drawing == (28, 3.5)
    assert Model(tiny_flux(distilled=False)).family.drawing == (28, 1.0)
    klein = tiny_flux_2()
    assert Model(klein).family.drawing == (50, 4.0)
    klein.register_to_config(is_distilled=True)
    assert Model(klein).family.drawing == (50, 1.0)


def test_pictures_are_drawn_so(monkeypatch: pytest.MonkeyPatch) -> None:
    model = full_size(toy("sana"))
    with count_rows(model) as count:
        (own,) = model.generate("a church", size=32)
    assert count.rows == 2 * 20
    (given,) = model.generate("a church", size=32, steps=20, guidance_scale=4.5)
    assert own.tobytes() == given.tobytes()
