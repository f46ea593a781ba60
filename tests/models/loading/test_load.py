import json
import logging
import shutil

import numpy as np
import pytest
import torch
from ldm import single_file
from safetensors.torch import load_file, save_file
from tiny import tiny_sd1, tiny_sdxl

from turpentine.core.errors import BadArgument, ModelNotFound, TurpentineError, UnsafeFile, UnsupportedModel
from turpentine.edits import Edit, Provenance
from turpentine.models import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny Stable Diffusion 1 in diffusers' layout; shared, so leave it as it was."""
    path = tmp_path_factory.mktemp("sd1")
    tiny_sd1().save_pretrained(path)
    return path


@pytest.fixture
def broken(folder, tmp_path):
    """A copy to break."""
    return shutil.copytree(folder, tmp_path / "broken")


def apart(one, other):
    """How far two models' pictures of the same are apart, 0 to 255."""
    pictures = (np.asarray(model.generate("a dog", steps=2)[0]).astype(int) for model in (one, other))
    return np.abs(np.subtract(*pictures)).max()


def error_of(error, source, **settings):
    """The sentence of the error that loading raises: one line, with no other library's jargon around it."""
    with pytest.raises(error) as caught:
        load(source, **settings)
    sentence = str(caught.value)
    assert isinstance(caught.value, TurpentineError)
    assert "\n" not in sentence
    return sentence


def test_a_folder(folder, sd1):
    model = load(folder)
    assert model.fingerprint == sd1.fingerprint
    assert (model.name, model.dtype, model.device.type) == (str(folder), torch.float32, "cpu")
    assert apart(model, sd1) <= 1


def test_an_sdxl_folder(tmp_path, sdxl):
    tiny_sdxl().save_pretrained(tmp_path)
    model = load(str(tmp_path), dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert model.vae.dtype == torch.float32
    assert load(tmp_path).fingerprint == sdxl.fingerprint


def test_the_libraries_say_nothing_of_another_number_format(folder, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    load(folder, dtype=torch.bfloat16)
    assert not caplog.records


def test_a_folder_of_the_fp16_variant(tmp_path, sd1):
    tiny_sd1().to(dtype=torch.float16).save_pretrained(tmp_path, variant="fp16")
    assert load(tmp_path).fingerprint == sd1.fingerprint


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_folder_whose_weights_are_in_shards(tmp_path, sd1, variant):
    tiny_sd1().save_pretrained(tmp_path, variant=variant, max_shard_size="60KB")
    for part in ("unet", "vae"):
        assert len([*(tmp_path / part).glob("*-of-*.safetensors")]) > 1
    assert load(tmp_path).fingerprint == sd1.fingerprint


def test_an_edit_of_one_file_goes_on_shards_and_on_the_fp16_variant(tmp_path, sd1):
    name = "unet.conv_in.weight"
    edit = Edit({name: torch.ones_like(sd1.parameter(name))}, Provenance(base=sd1.fingerprint))
    tiny_sd1().save_pretrained(tmp_path / "shards", max_shard_size="60KB")
    tiny_sd1().to(dtype=torch.float16).save_pretrained(tmp_path / "fp16", variant="fp16")
    for folder in ("shards", "fp16"):
        model = load(tmp_path / folder)
        with edit.on(model):
            torch.testing.assert_close(model.parameter(name), sd1.parameter(name) + 1, atol=1e-2, rtol=0)
        assert model.fingerprint == sd1.fingerprint


def test_a_pipeline_is_used_as_it_is():
    pipeline = tiny_sd1()
    model = load(pipeline)
    assert model.pipeline is pipeline
    assert load(pipeline, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_a_device_that_is_none_is_refused_before_anything_is_read(monkeypatch, folder):
    monkeypatch.setattr("turpentine.models.loading.load.locate", lambda _: pytest.fail("it is looked for"))
    with pytest.raises(BadArgument, match="'tpu' is no device"):
        load(folder, device="tpu")


def test_a_single_file(whole_sd1, tmp_path):
    """Of the real one's levels and layers, which diffusers takes for granted where it reads the original names."""
    whole_sd1.pipeline.save_pretrained(tmp_path / "folder")
    save_file(single_file(whole_sd1.pipeline), tmp_path / "model.safetensors")
    model = load(tmp_path / "model.safetensors", config=tmp_path / "folder")
    assert model.fingerprint == whole_sd1.fingerprint
    assert apart(model, whole_sd1) <= 1


def test_a_single_file_whose_configs_are_not_to_be_had(sd1, tmp_path):
    save_file(single_file(sd1.pipeline), tmp_path / "model.safetensors")
    sentence = error_of(ModelNotFound, tmp_path / "model.safetensors")
    assert "model.safetensors" in sentence
    assert "config=" in sentence


@pytest.mark.parametrize(
    ("prefix", "part"),
    [("model.diffusion_model.", "denoiser"), ("first_stage_model.", "autoencoder"), ("cond_stage_", "text encoder")],
)
def test_a_single_file_without_a_part(folder, sd1, tmp_path, prefix, part):
    weights = {name: weight for name, weight in single_file(sd1.pipeline).items() if not name.startswith(prefix)}
    save_file(weights, tmp_path / "model.safetensors")
    assert f"no {part}" in error_of(ModelNotFound, tmp_path / "model.safetensors", config=folder)


def test_a_single_file_that_is_cut_short(folder, sd1, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(single_file(sd1.pipeline), path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "model.safetensors" in error_of(ModelNotFound, path, config=folder)


@pytest.mark.parametrize("name", ["model.ckpt", "model.bin", "model.pt", "model.pth"])
def test_a_pickle_is_never_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x80\x04never read")
    sentence = error_of(UnsafeFile, path)
    assert name in sentence
    assert "safetensors" in sentence


def test_a_folder_with_a_pickle_only_is_refused_before_anything_is_read(broken, monkeypatch):
    (weights,) = (broken / "unet").glob("*.safetensors")
    torch.save(load_file(weights), broken / "unet" / "diffusion_pytorch_model.bin")
    weights.unlink()
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("a pickle was read"))
    sentence = error_of(UnsafeFile, broken)
    assert "diffusion_pytorch_model.bin" in sentence


def test_a_pickle_beside_the_weights_is_not_touched(broken, sd1, monkeypatch):
    (broken / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04never read")
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("a pickle was read"))
    assert load(broken).fingerprint == sd1.fingerprint


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_a_folder_without_weights(broken, component):
    for weights in (broken / component).glob("*.safetensors"):
        weights.unlink()
    assert component in error_of(ModelNotFound, broken)


@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_a_folder_whose_weights_are_cut_short(broken, component):
    (weights,) = (broken / component).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    assert str(broken) in error_of(ModelNotFound, broken)


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_a_folder_with_a_weight_missing_is_not_filled_up_by_chance(broken, component):
    (weights,) = (broken / component).glob("*.safetensors")
    tensors = load_file(weights)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, weights, metadata={"format": "pt"})
    assert component in error_of(ModelNotFound, broken)


def test_weights_under_names_that_the_library_does_not_know_are_not_replaced_by_chance(broken):
    (weights,) = (broken / "text_encoder").glob("*.safetensors")
    trained = {f"language_model.{name}": tensor + 0.5 for name, tensor in load_file(weights).items()}
    save_file(trained, weights, metadata={"format": "pt"})
    sentence = error_of(UnsupportedModel, broken)
    assert "did not reach the text encoder" in sentence and "another release" in sentence


def test_a_folder_of_another_pipeline(broken):
    index = json.loads((broken / "model_index.json").read_text())
    (broken / "model_index.json").write_text(json.dumps({**index, "_class_name": "KandinskyPipeline"}))
    assert "KandinskyPipeline" in error_of(UnsupportedModel, broken)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "not json"])
def test_a_folder_that_is_no_model(tmp_path, content):
    if content is not None:
        (tmp_path / "model_index.json").write_text(content)
    assert str(tmp_path) in error_of(TurpentineError, tmp_path)


@pytest.mark.parametrize("source", ["/no/such/folder", "no_such_model", "./a/b", "~/none/here", "model.safetensors"])
def test_a_model_that_is_not_there(source):
    assert "no model at" in error_of(ModelNotFound, source)


def test_a_hub_model_that_is_not_to_be_had():
    """The tests are offline, and nothing is in the cache under this name."""
    sentence = error_of(ModelNotFound, "nobody/nothing-here")
    assert "'nobody/nothing-here'" in sentence
    assert "hub" in sentence


def test_the_embedded_model_is_the_default(folder, sd1, monkeypatch):
    monkeypatch.setattr("turpentine.models.loading.source.WEIGHTS", folder)
    assert load().fingerprint == load("emoji").fingerprint == sd1.fingerprint


def test_loading_says_nothing(folder, capfd):
    load(folder)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
