"""A model in one file: loaded by its name alone where it is ours; which weight it lacks is named in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ldm import single_file
from safetensors.torch import save_file
from tiny import tiny_sd1

import turpentine as tp
from turpentine.core.errors import ModelNotFound
from turpentine.edits import save_single_file
from turpentine.emoji import WEIGHTS
from turpentine.models import Model, load
from turpentine.models.identity import describe
from turpentine.models.loading.single_file import RECORD, config_of


@pytest.fixture(scope="module")
def sd1(whole_sd1: Model) -> Model:
    """With Stable Diffusion's own levels and layers, which these tests know by name."""
    return whole_sd1


def test_a_single_file_of_ours_is_loaded_by_its_name_alone(tmp_path: Path) -> None:
    tiny_sd1(whole=True).save_pretrained(tmp_path / "tiny")
    for name in ("emoji", "emoji-64", str(tmp_path / "tiny")):
        out = tmp_path / f"{Path(name).name}.safetensors"
        source = tp.load(name)
        save_single_file(source, out)
        again = tp.load(out)
        assert describe(again)["text"] == describe(source)["text"]
        (expected,), (found,) = (each.generate("a dog", steps=2) for each in (source, again))
        assert np.abs(np.asarray(expected, int) - np.asarray(found, int)).max() <= 2


@pytest.mark.parametrize(
    ("record", "folder"),
    [
        ({"model": "emoji"}, WEIGHTS),
        ({"model": "/nowhere"}, None),
        ({"model": "CompVis/stable-diffusion-v1-4"}, None),
        ({}, None),
        ("no record", None),
    ],
)
def test_where_the_configs_are_is_what_a_file_of_ours_says(record: object, folder: Path | None, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={RECORD: json.dumps(record)})
    assert config_of(path) == folder
    path.write_bytes(b"damaged")
    assert config_of(path) is None


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("diffusion_model.out.2.weight", None, r"holds no weight 'conv_out.weight' for its UNet2DConditionModel: not"),
        (
            "transformer.text_model.",
            "transformer.",
            r"diffusers cannot read the model \(.*CLIPTextModel",
        ),
    ],
    ids=["a weight less", "names of old"],
)
def test_what_is_missing_is_named(sd1: Model, tmp_path: Path, old: str, new: str | None, sentence: str) -> None:
    weights = single_file(sd1.pipeline)
    altered = {
        name.replace(old, new or ""): weight for name, weight in weights.items() if new is not None or old not in name
    }
    assert altered.keys() != weights.keys()
    save_file(altered, tmp_path / "model.safetensors")
    sd1.pipeline.save_pretrained(tmp_path / "config")
    with pytest.raises(ModelNotFound, match=sentence) as caught:
        load(tmp_path / "model.safetensors", config=tmp_path / "config")
    assert "\n" not in str(caught.value) and "give config=" not in str(caught.value)
