"""A model in one file that is not all there: which weight it lacks is named in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from ldm import single_file
from safetensors.torch import save_file

from turpentine.core.errors import ModelNotFound
from turpentine.models import Model, load


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
