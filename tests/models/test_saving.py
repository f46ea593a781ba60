"""A full diffusers folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from edits.weights import NAMES, made_up
from tiny import tiny_sd1

from turpentine.core.errors import EditError
from turpentine.models import Model, load


def _draw(pipeline: StableDiffusionPipeline, latents: torch.Tensor) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline("a church", latents=latents.clone(), num_inference_steps=2, output_type="np").images


def test_diffusers_loads_the_folder_and_draws_the_same_pictures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = Model(tiny_sd1())
    latents, edit = model.noise([3]), made_up(model)
    plain = _draw(model.pipeline, latents)
    with edit.on(model):
        edited = _draw(model.pipeline, latents)
        capfd.readouterr()
        model.save_pretrained(tmp_path / "out" / "edited")
        assert capfd.readouterr().err == ""  # no progress bars of the libraries
        weights = {name: weight.clone() for name, weight in model.denoiser.state_dict().items()}
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path / "out" / "edited", safety_checker=None)
    assert all(torch.equal(weight, weights[name]) for name, weight in loaded.unet.state_dict().items())
    # A file's weights lie elsewhere in memory, which is enough to change the last bit of a sum.
    assert np.abs(_draw(loaded, latents) - edited).max() < 1e-5 < np.abs(plain - edited).max()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["edited"]
    record = json.loads((tmp_path / "out" / "edited" / "turpentine.json").read_text())
    assert [each["id"] for each in record["edits"]] == [edit.id]
    assert record["base"] == model.fingerprint != load(tmp_path / "out" / "edited").fingerprint
    assert not list(tmp_path.rglob("*.bin"))
    (tmp_path / "plain").touch()
    modes = {path.stat().st_mode for path in tmp_path.rglob("*") if path.is_file()}
    assert len(modes) == 1  # nothing is for its owner only


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, sd1: Model) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(EditError, match="exists already"):
        sd1.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(EditError, match="exists already"):
        sd1.save_pretrained(tmp_path / "thesis.txt")


def test_an_error_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(tiny_sd1())

    def full(folder: Path, **_: object) -> None:
        (Path(folder) / "half").write_text("written")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model.pipeline, "save_pretrained", full)
    with pytest.raises(OSError, match="No space"):
        model.save_pretrained(tmp_path / "edited")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_used(tmp_path: Path, sd1: Model) -> None:
    sd1.save_pretrained(tmp_path)
    assert (tmp_path / "model_index.json").is_file()
    assert NAMES[2].removeprefix("unet.") in _tensor_names(tmp_path / "unet")


def _tensor_names(folder: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(next(folder.glob("*.safetensors")), framework="pt") as file:
        return list(file.keys())
