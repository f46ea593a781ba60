"""What a single file says of its prediction is read, and may be said by hand; our own files say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny import tiny_sd1, tiny_sd2_v, tiny_sdxl

from turpentine.core.errors import BadArgument, EditError, ModelNotFound, UnsupportedModel
from turpentine.edits import save_single_file
from turpentine.models import Model, load
from turpentine.models.loading.prediction import Prediction, prediction_in
from turpentine.runs.model_cache import ModelCache
from turpentine.runs.specs import ModelSpec

V, SPEC = "v_prediction", "modelspec.prediction_type"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SDXL that predicts ε, as a folder of configs and as a single file; shared, so leave it as it was."""
    folder = tmp_path_factory.mktemp("sdxl")
    pipeline = tiny_sdxl()
    pipeline.save_pretrained(folder / "config")
    save_single_file(Model(pipeline), folder / "one.safetensors")
    return folder


def _marked(whole: Path, path: Path, names: tuple[str, ...], metadata: dict[str, str]) -> Path:
    tensors = load_file(whole / "one.safetensors")
    save_file({**tensors, **{name: torch.empty(0) for name in names}}, path, {"format": "pt", **metadata})
    return path


@pytest.mark.parametrize(
    ("names", "metadata", "prediction", "zero_snr"),
    [
        ((), {}, "epsilon", False),
        (("v_pred",), {}, V, False),
        (("v_pred", "ztsnr"), {}, V, True),
        ((), {SPEC: "v"}, V, False),
        ((), {SPEC: "epsilon"}, "epsilon", False),
        (("ztsnr",), {SPEC: "v"}, V, True),
    ],
)
def test_what_a_file_says_is_what_the_model_predicts(
    whole: Path, tmp_path: Path, names: tuple[str, ...], metadata: dict[str, str], prediction: str, zero_snr: bool
) -> None:
    path = _marked(whole, tmp_path / "m.safetensors", names, metadata)
    model = load(path, config=whole / "config", device="cpu")
    assert model.describe()["prediction"] == prediction
    assert type(model.family.parametrisation).__name__ == {"epsilon": "Epsilon", V: "Velocity"}[prediction]
    last = float(model.schedule.alpha_bar(999))
    assert (last < 1e-6) == zero_snr


def test_what_is_given_comes_before_the_file(whole: Path, tmp_path: Path) -> None:
    path = _marked(whole, tmp_path / "m.safetensors", ("v_pred", "ztsnr"), {SPEC: "epsilon"})
    with pytest.raises(ModelNotFound, match=r"m\.safetensors: it has v_pred and says 'epsilon'"):
        load(path, config=whole / "config")
    model = load(path, config=whole / "config", prediction="epsilon", zero_snr=False, device="cpu")
    assert model.describe()["prediction"] == "epsilon"
    assert float(model.schedule.alpha_bar(999)) > 1e-4
    spec = ModelSpec.of(model)
    again = ModelCache().model(ModelSpec(str(path), spec.model, spec.dtype, "cpu", None, spec.options))
    assert again.describe()["prediction"] == "epsilon"


def test_a_folders_prediction_may_be_given(whole: Path) -> None:
    model = load(whole / "config", prediction=V, zero_snr=True, device="cpu")
    assert (model.describe()["prediction"], float(model.schedule.alpha_bar(999)) < 1e-6) == (V, True)
    assert load(whole / "config", device="cpu").describe()["prediction"] == "epsilon"


def test_a_scheduler_that_cannot_end_in_noise_is_replaced_by_one_that_can() -> None:
    from diffusers import PNDMScheduler

    pipeline = tiny_sd1()
    pipeline.scheduler = PNDMScheduler.from_config(pipeline.scheduler.config)
    Prediction(V, True).set_on(pipeline)
    assert float(Model(pipeline).schedule.alpha_bar(999)) < 1e-6


@pytest.mark.parametrize("changes", [{}, {"rescale_betas_zero_snr": True}])
def test_our_own_file_says_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    pipeline = tiny_sd2_v()
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, **changes)
    model = Model(pipeline)
    tiny_sd1().save_pretrained(tmp_path / "of ε")
    pipeline.save_pretrained(tmp_path / "config")
    config = tmp_path / "config" / "scheduler" / "scheduler_config.json"
    config.write_text((tmp_path / "of ε" / "scheduler" / "scheduler_config.json").read_text())
    save_single_file(model, tmp_path / "one.safetensors")
    with safe_open(tmp_path / "one.safetensors", framework="pt") as file:
        assert {"v_pred", *(["ztsnr"] if changes else [])} <= set(file.keys())
        assert file.metadata()[SPEC] == "v"
    read = load(tmp_path / "one.safetensors", config=tmp_path / "config", device="cpu")
    x, cond = model.noise([0]), model.encode(["a church"])
    torch.testing.assert_close(read.eps(x, 990, cond), model.eps(x, 990, cond), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "metadata", "sentence"),
    [((), {SPEC: "rectified flow"}, "predicts 'rectified flow'"), (("edm_mean",), {}, "EDM's")],
)
def test_what_is_neither_is_refused(names: tuple[str, ...], metadata: dict[str, str], sentence: str) -> None:
    with pytest.raises(UnsupportedModel, match=sentence):
        prediction_in(names, metadata, Prediction())


def test_settings_that_do_not_go_together_are_refused(whole: Path) -> None:
    with pytest.raises(BadArgument, match="No prediction is called 'banana'"):
        load(whole / "config", prediction="banana")
    with pytest.raises(BadArgument, match="leave out config"):
        load(whole / "config", config=whole / "config")
    with pytest.raises(BadArgument, match="A pipeline is used as it is"):
        load(tiny_sd1(), prediction=V)


@pytest.mark.parametrize("name", ["float16", "fp16", "torch.float16", torch.float16])
def test_a_number_format_by_its_name(name: Any) -> None:
    assert load(tiny_sd1(), dtype=name).dtype == torch.float16


@pytest.mark.parametrize("name", ["banana", "int8", torch.int8, torch.float8_e4m3fn])
def test_another_name_is_refused(name: Any) -> None:
    with pytest.raises(BadArgument, match="no number format of weights: give float32, float16 or bfloat16"):
        load(tiny_sd1(), dtype=name)


def test_words_that_were_added_go_with_no_single_file(tmp_path: Path) -> None:
    pipeline = tiny_sd1()
    pipeline.load_textual_inversion(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)), token="<toy>")
    with pytest.raises(EditError, match=r"'<toy>', '<toy>_1' was added .* a diffusers folder"):
        save_single_file(Model(pipeline), tmp_path / "one.safetensors")
