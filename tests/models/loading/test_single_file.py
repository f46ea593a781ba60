"""A model in one file, loaded by its name alone where the file is ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_sd1

import turpentine as tp
from turpentine.edits import save_single_file
from turpentine.emoji import WEIGHTS
from turpentine.models.identity import describe
from turpentine.models.loading.single_file import RECORD, config_of


def test_a_single_file_of_ours_is_loaded_by_its_name_alone(tmp_path: Path) -> None:
    tiny_sd1().save_pretrained(tmp_path / "tiny")
    for name in ("emoji", str(tmp_path / "tiny")):
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
