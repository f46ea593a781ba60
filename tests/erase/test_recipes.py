"""What ESD trains for which kind of concept, and the settings of public code for other architectures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from turpentine.concepts import Kind
from turpentine.core.plugins import find
from turpentine.erase import ESD
from turpentine.erase.recipes import BY_CLASS, BY_KIND, recipe_for
from turpentine.models import Model, pipeline_class


@pytest.fixture
def full_size(tmp_path: Path) -> Callable[[str], str]:
    """A folder that says it is a pipeline of full size; it holds no weights."""

    def folder(name: str) -> str:
        (tmp_path / "unet").mkdir(exist_ok=True)
        (tmp_path / "unet" / "config.json").write_text(json.dumps({"block_out_channels": [320, 640]}))
        (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": name}))
        return str(tmp_path)

    return folder


def test_every_kind_of_concept_has_a_set_of_parameters_and_a_source() -> None:
    assert BY_KIND.keys() == set(get_args(Kind))
    for recipe in (*BY_KIND.values(), *BY_CLASS.values()):
        assert recipe.settings.keys() == {"sites"} and recipe.source


def test_styles_are_where_words_are_read_and_objects_everywhere_else(full_size: Callable[[str], str]) -> None:
    sd = full_size("StableDiffusionPipeline")
    sets = {kind: recipe.settings["sites"] for kind in get_args(Kind) if (recipe := recipe_for(sd, kind))}
    assert (sets["style"], sets["artist"], sets["object"], sets["nudity"]) == ("x", "x", "u", "u")


def test_an_architecture_with_public_code_of_its_own_goes_by_that(full_size: Callable[[str], str]) -> None:
    assert recipe_for(full_size("StableDiffusionXLPipeline"), "object") is BY_CLASS["StableDiffusionXLPipeline"]
    xl = find("esd-x-strict").defaults(full_size("StableDiffusionXLPipeline"))
    assert (xl.sites, xl.eta, xl.steps, xl.lr) == ("x-strict", 0.0, 200, 2e-4)
    flux = find("esd-x").defaults(full_size("FluxPipeline"))
    assert (flux.steps, flux.sampling_steps, flux.lr, flux.eta) == (1400, 28, 1e-4, 1.0)
    assert ESD.preset(full_size("StableDiffusionPipeline")) == ESD()


def test_other_sets_than_x_have_the_papers_rate_and_what_a_user_gives_counts(full_size: Callable[[str], str]) -> None:
    xl = full_size("StableDiffusionXLPipeline")
    assert ESD.preset(xl, sites="u").lr == ESD().lr
    assert ESD.preset(xl, lr=3e-4, steps=7) == ESD(lr=3e-4, steps=7, eta=0.0, guidance_scale=2.0)


def test_a_model_of_the_embedded_ones_size_has_its_own(sd1: Model) -> None:
    assert recipe_for(sd1, "object") is recipe_for("emoji", "object") is None
    assert pipeline_class(sd1) == "StableDiffusionPipeline"
