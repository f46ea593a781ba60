import json
from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi

from turpentine.models import pipeline_class
from turpentine.models.loading import hub
from turpentine.models.loading.safe_reading import NoNetwork

SIZES = {
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors": 3_000_000_000,
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors": 400_000_000,
    "unet/diffusion_pytorch_model.fp16.safetensors": 1_700_000_000,
    "unet/diffusion_pytorch_model.non_ema.safetensors": 3_400_000_000,
    "unet/diffusion_pytorch_model.bin": 3_400_000_000,
    "text_encoder/model.safetensors": 500_000_000,
    "safety_checker/model.safetensors": 1_200_000_000,
    "sd-v1-4.safetensors": 4_000_000_000,
    "model_index.json": 500,
}


@pytest.fixture
def listed(monkeypatch, tmp_path):
    """The hub as it would answer; it cannot be reached from here."""
    files = [SimpleNamespace(rfilename=name, size=size) for name, size in SIZES.items()]
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: SimpleNamespace(siblings=files))


def test_what_is_fetched_is_told_with_the_size_of_the_components_own_weights(listed):
    assert hub.to_fetch("somebody/some-model") == "somebody/some-model from the Hugging Face hub (3.9 GB)"


@pytest.mark.parametrize("error", [ConnectionError(), NoNetwork("Name or service not known")])
def test_a_hub_that_does_not_answer_leaves_the_size_open(monkeypatch, error):
    def unreachable(*_, **__):
        raise error

    monkeypatch.setattr(HfApi, "model_info", unreachable)
    told = hub.to_fetch("somebody/some-model")
    assert told == "somebody/some-model from the Hugging Face hub (of a size that is not known)"


@pytest.mark.parametrize("source", ["emoji", "a/b/c", "/a/b", "weights/model.safetensors", "some thing/else?"])
def test_what_is_no_hub_id_is_not_fetched(listed, source):
    assert hub.to_fetch(source) is None


def test_a_folder_is_not_fetched(listed, tmp_path, monkeypatch):
    (tmp_path / "here" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub.to_fetch("here/model") is None


def test_an_index_alone_in_the_cache_is_no_model(listed, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--somebody--some-model"
    snapshot = repository / "snapshots" / "abc"
    (snapshot / "unet").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    (snapshot / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    assert pipeline_class("somebody/some-model") == "StableDiffusionXLPipeline"
    assert "3.9 GB" in hub.to_fetch("somebody/some-model")
    (snapshot / "unet" / "model.safetensors").write_bytes(b"")
    assert hub.to_fetch("somebody/some-model") is None
    assert pipeline_class("somebody/another") == pipeline_class("some thing/else?") == ""
