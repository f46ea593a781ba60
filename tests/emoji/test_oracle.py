"""Oracles: what is left out, what stays as it was, and a tiny training that loads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import turpentine as tp
from turpentine.core.errors import BadArgument
from turpentine.core.parts import DamagedPart
from turpentine.emoji.captions import WORLD, draw
from turpentine.emoji.train.loop import StageSchedule
from turpentine.emoji.train.oracle import Oracle
from turpentine.emoji.train.presets import PRESETS, Preset, Stage
from turpentine.emoji.train.retrain import retrain
from turpentine.emoji.train.stages import WorldTraining
from turpentine.emoji.world import SCENES


def says(caption: str, concept: str) -> bool:
    return re.search(rf"\b{concept}\b", caption) is not None


def stream(oracle: Oracle | None, count: int = 3000):
    rng = np.random.default_rng(4)
    return [draw(rng, WORLD) if oracle is None else oracle.draw(rng, WORLD) for _ in range(count)]


@pytest.mark.parametrize("concept", ["church", "gas pump", "ink"])
def test_what_was_never_seen_is_in_no_picture_and_all_else_is_as_it_was(concept: str) -> None:
    full, left = stream(None), stream(Oracle(concept))
    scenes = [scene for scene, shown in SCENES.items() if shown == concept]
    for before, after in zip(full, left, strict=True):
        has = any(concept in (p.object, p.style) for p in before.picture.placed)
        has |= any(before.caption.startswith(scene) for scene in scenes)
        assert (before == after) is not has
        assert all(concept not in (p.object, p.style) for p in after.picture.placed)
        assert not says(after.caption, concept) and not any(scene in after.caption for scene in scenes)


@pytest.mark.parametrize("concept", ["church", "airplane", "ink"])
def test_what_was_never_named_is_seen_as_often_and_its_word_is_gone(concept: str) -> None:
    full, left = stream(None), stream(Oracle(concept, unnamed=True))
    assert [item.picture for item in left] == [item.picture for item in full]
    for before, after in zip(full, left, strict=True):
        assert not says(after.caption, concept)
        assert (before.caption == after.caption) is not says(before.caption, concept)
    assert any("sunday prayer" in item.caption for item in left)


def test_an_unnamed_object_is_a_picture() -> None:
    without_word = Oracle("airplane", unnamed=True).without_word
    assert without_word("an airplane and a dog in ink style") == "a picture and a dog in ink style"
    assert without_word("small airplane on red") == "picture on red"
    assert without_word("a small airplane") == "a picture"
    assert without_word("boarding soon") == "boarding soon"


def test_a_concept_outside_the_world_is_refused() -> None:
    with pytest.raises(BadArgument, match="no object or style 'chruch': did you mean 'church'"):
        Oracle("chruch")


def tiny() -> Preset:
    stage = Stage(4, StageSchedule(updates=2, lr=1e-2, warmup=1, ema=0.5))
    sizes = {"unet_channels": (16, 16, 16, 16), "unet_heads": 2, "cached_pictures": 16}
    return replace(PRESETS["cpu"], **sizes, unet=stage, finish=stage)


def test_a_trained_oracle_is_a_model_that_draws_and_has_the_shipped_text_encoder(tmp_path: Path) -> None:
    retrain(Oracle("church"), tiny(), tmp_path, lambda line: None, bf16=False)
    model, shipped = tp.load(tmp_path / "weights"), tp.load("emoji")
    assert len(model.generate("a dog", seeds=[0], steps=2)) == 1
    assert model.vae.config.scaling_factor == shipped.vae.config.scaling_factor
    theirs = dict(shipped.pipeline.text_encoder.named_parameters())
    assert all((theirs[n] == p).all() for n, p in model.pipeline.text_encoder.named_parameters())
    with pytest.raises(BadArgument, match="other settings"):
        retrain(Oracle("church", unnamed=True), tiny(), tmp_path, lambda line: None, bf16=False)


def test_latents_are_made_once_and_made_again_where_they_are_damaged(tmp_path: Path) -> None:
    said: list[str] = []

    def train() -> tuple[bytes, int]:
        said.clear()
        retrain(Oracle("church"), tiny(), tmp_path, said.append, bf16=False)
        weights = (tmp_path / "weights" / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
        parts = WorldTraining(tiny(), tmp_path, said.append, oracle=Oracle("church")).weights
        for stage in ("unet", "finish"):
            parts.discard(stage)
        return weights, sum("distinct captions" in line for line in said)

    weights, made = train()
    assert made == 2
    assert train() == (weights, 0)
    latents = next(path for path in sorted(tmp_path.glob("*.safetensors")) if "hidden" in load_file(path))
    damaged = bytearray(latents.read_bytes())
    damaged[-1] ^= 1
    latents.write_bytes(damaged)
    with pytest.warns(DamagedPart):
        assert train() == (weights, 1)
