"""The larger model that ships, as `turpentine.load` gives it."""

from __future__ import annotations

import pytest

import turpentine as tp
from turpentine.core.errors import ModelNotFound, WrongBase
from turpentine.emoji import LARGER_WEIGHTS
from turpentine.emoji.judge_network import LARGER_ANSWERS, load_judge


def test_the_larger_model_draws_what_its_caption_says() -> None:
    model = tp.load("emoji-64")
    prompts = ["a church", "a red car on a white background", "a truck in line style"]
    images = list(model.generate(prompts, seeds=[1] * 3, steps=10, solver="dpm", progress=False))
    assert {image.size for image in images} == {(64, 64)}
    answers = load_judge(LARGER_WEIGHTS / "judge.safetensors").probabilities(images)
    best = {a: [LARGER_ANSWERS[a][i] for i in values.argmax(1).tolist()] for a, values in answers.items()}
    assert best["object"] == ["church", "car", "truck"]
    assert best["tint"][1] == "red" and best["colour"][1] == "white" and best["style"][2] == "line"


def test_the_larger_model_is_another_than_the_smaller_and_knows_its_words() -> None:
    larger, smaller = tp.load("emoji-64"), tp.load("emoji")
    assert larger.fingerprint != smaller.fingerprint and larger.fingerprint == tp.load("emoji-64").fingerprint
    assert not larger.text.unknown_words("a dog left of a red church")


def test_an_edit_of_the_larger_model_goes_on_it_alone() -> None:
    larger = tp.load("emoji-64")
    edit = tp.methods.UCE()(larger, tp.Concept("church"))
    with edit.on(larger) as model:
        assert model.edits
    with pytest.raises(WrongBase):
        edit.apply(tp.load("emoji"))


def test_it_is_loaded_by_its_name() -> None:
    assert not (LARGER_WEIGHTS / "model_index.json").exists()
    with pytest.raises(ModelNotFound, match="holds no model in diffusers' layout"):
        tp.load(LARGER_WEIGHTS.parent / "data")
