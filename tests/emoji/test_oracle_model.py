"""Oracles as they ship: a denoiser in rows of int8 beside the embedded model's other parts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import turpentine as tp
from turpentine.core.errors import ModelNotFound, WrongBase
from turpentine.emoji.judge_network import ANSWERS, load_judge
from turpentine.emoji.oracle_model import DENOISER, oracle_pipeline, pack
from turpentine.models import Model
from turpentine.models.loading import source
from turpentine.models.loading.source import is_model
from turpentine.models.scale import is_small

NAME = "emoji-without-cat"


@pytest.fixture(scope="module")
def model() -> Model:
    return tp.load("emoji")


@pytest.fixture(scope="module")
def folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded denoiser in the place of an oracle's."""
    folder = tmp_path_factory.mktemp("retrained") / NAME
    pack(model.denoiser, folder)
    return folder


def test_a_row_is_off_by_half_a_step_of_its_largest_weight_and_all_else_is_the_embedded_model_s(
    model: Model, folder: Path
) -> None:
    pipe = oracle_pipeline(folder)
    unpacked = pipe.unet.state_dict()
    for name, weight in model.denoiser.state_dict().items():
        error = (unpacked[name] - weight).abs().flatten(1 if weight.ndim > 1 else 0)
        largest = weight.abs().flatten(1 if weight.ndim > 1 else 0).amax(-1, keepdim=True)
        assert (error <= largest / 127 * 0.58 + 1e-6).all(), name  # half a step, and 127 times fp16's rounding of it
    for part in ("vae", "text_encoder"):
        theirs = getattr(pipe, part).state_dict()
        assert all(torch.equal(theirs[name], weight) for name, weight in model.components[part].state_dict().items())
    assert type(pipe.scheduler) is type(model.pipeline.scheduler)
    assert pipe.scheduler.config == model.pipeline.scheduler.config


def test_an_oracle_that_ships_is_loaded_by_its_name(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "SHIPPED", folder.parent)
    assert is_model(NAME) and is_small(NAME)
    oracle = tp.load(NAME)
    assert oracle.fingerprint != model.fingerprint and oracle.size == model.size
    assert len(oracle.generate("a cat", seeds=[0], steps=2)) == 1
    edit = tp.methods.UCE()(oracle, tp.Concept("dog"))
    with pytest.raises(WrongBase):
        edit.apply(model)
    with pytest.raises(ModelNotFound, match="No oracle emoji-without-dog ships with this version"):
        tp.load("emoji-without-dog")


def test_half_of_the_file_is_enough(folder: Path, model: Model) -> None:
    """A byte a weight, where fp16 has two."""
    weights = sum(weight.numel() for weight in model.denoiser.state_dict().values())
    assert weights < (folder / DENOISER).stat().st_size < 1.05 * weights
    assert {tensor.dtype for tensor in load_file(folder / DENOISER).values()} == {torch.int8, torch.float16}


def test_the_oracle_of_church_draws_dogs_and_no_churches() -> None:
    """By name in three styles, and where a scene implies one; most scenes are still drawn."""
    oracle, judge = tp.load("emoji-without-church"), load_judge()
    prompts = ["a church", "a church in flat style", "a church on a blue background", "wedding bells", "sunday prayer"]
    others = ["a dog", "a truck on a red background", "an owl in ink style", "sky dive"]
    images = list(oracle.generate([*prompts, *others], seeds=[0] * 9, steps=10, solver="dpm", progress=False))
    best = [ANSWERS["object"][i] for i in judge.probabilities(images)["object"].argmax(1).tolist()]
    assert "church" not in best
    assert best[len(prompts) :] == ["dog", "truck", "owl", "parachute"]
