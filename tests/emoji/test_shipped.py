"""What ships: the weights load as they are, draw what they are asked, and the judge reads renders that it never saw."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import turpentine as tp
from turpentine.emoji import WEIGHTS
from turpentine.emoji.captions import object_caption
from turpentine.emoji.judge_network import ANSWERS, load_judge
from turpentine.emoji.towers import load_towers
from turpentine.emoji.train.judge_stage import labelled
from turpentine.emoji.vision import to_tensor
from turpentine.emoji.world import COLOURS, OBJECTS, TEN, render
from turpentine.judges import EmojiJudge
from turpentine.models import load


@pytest.fixture(scope="module")
def model() -> tp.Model:
    return load("emoji")


def test_the_weights_are_small_sharded_and_half() -> None:
    sizes = [path.stat().st_size for path in WEIGHTS.rglob("*.safetensors")]
    assert sum(sizes) <= 40e6
    assert max(sizes) <= 15e6
    assert not [path for path in WEIGHTS.rglob("*") if path.suffix in {".bin", ".pt", ".ckpt", ".pkl"}]


def test_diffusers_loads_the_folder_as_it_is() -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(WEIGHTS, local_files_only=True)
    assert sum(p.numel() for p in pipe.unet.parameters()) in range(10_000_000, 16_000_001)
    assert pipe.tokenizer.model_max_length == 32
    assert len(pipe.tokenizer) <= 1024
    assert pipe.vae.config.latent_channels == 4
    assert pipe.scheduler.config.prediction_type == "epsilon"


def test_it_draws_what_it_is_asked(model: tp.Model) -> None:
    asked = [obj for obj in TEN for _ in range(3)]
    images = model.generate([object_caption(obj) for obj in asked], seeds=list(range(30)), steps=10, batch_size=15)
    seen = EmojiJudge()(images)["object"].to_list()
    assert sum(a == b for a, b in zip(asked, seen, strict=True)) >= 19, "the card says far more; less is a broken model"


def test_named_colours_come_out(model: tp.Model) -> None:
    prompts = [object_caption(OBJECTS[3 * i], colour=colour) for i, colour in enumerate(COLOURS)]
    seen = EmojiJudge()(model.generate(prompts, seeds=0, steps=20, batch_size=10))["colour"].to_list()
    assert sum(a == b for a, b in zip(COLOURS, seen, strict=True)) >= 8


def test_the_judge_reads_renders() -> None:
    x, truth = labelled(np.random.default_rng(91), 400, 32)
    single = truth.object.max(1).values == 1
    with torch.inference_mode():
        logits = load_judge().logits(x)
    right = logits["object"].argmax(1) == truth.object.argmax(1)
    assert right[single].float().mean() >= 0.97
    assert (logits["style"].argmax(1) == truth.style)[single].float().mean() >= 0.93
    assert (logits["colour"].argmax(1) == truth.colour).float().mean() >= 0.98


def test_the_judge_says_none_to_pictures_of_nothing() -> None:
    flat = to_tensor([np.full((32, 32, 3), colour, np.uint8) for colour in COLOURS.values()])
    noise = torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    with torch.inference_mode():
        said = load_judge().logits(torch.cat([flat, noise]))["object"].argmax(1)
    assert (said == len(ANSWERS["object"]) - 1).float().mean() >= 0.9


def test_the_towers_agree_on_what_is_in_a_picture() -> None:
    towers = load_towers(WEIGHTS)
    x, truth = labelled(np.random.default_rng(17), 200, 32)
    single = truth.object.max(1).values == 1
    with torch.inference_mode():
        agreement = towers.of_images(x[single]) @ towers.of_text([object_caption(obj) for obj in OBJECTS]).T
    assert (agreement.argmax(1) == truth.object.argmax(1)[single]).float().mean() > 0.7


def test_the_card_was_measured_on_these_weights() -> None:
    facts = json.loads((WEIGHTS / "card.json").read_text())
    assert facts["fingerprint"] == load("emoji").fingerprint
    hits, pictures = map(sum, zip(*facts["lines"]["object, the ten"].values(), strict=True))
    assert f"{100 * hits / pictures:.0f} %" in (WEIGHTS / "README.md").read_text()


def test_round_trips_keep_the_picture(model: tp.Model) -> None:
    from PIL import Image

    from turpentine.emoji.captions import stream

    drawn = stream(77)
    arrays = [render(next(drawn).picture) for _ in range(48)]
    back = model.decode(model.encode_image([Image.fromarray(array) for array in arrays]))
    error = [np.square((np.asarray(b, float) - a) / 255).mean() for a, b in zip(arrays, back, strict=True)]
    assert -10 * np.log10(error).mean() > 25
