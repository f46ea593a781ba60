from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from judges.toys import pictures
from PIL import Image
from tiny import LENGTH
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from turpentine.emoji.captions import stream
from turpentine.emoji.world import render
from turpentine.judges.clip import ClipScore

PROMPTS = ["a red church", "cat", "a dog in ink style on a blue background and " + "a fish and " * 20]


def plain_scores(folder: str, images: list[Image.Image], prompts: list[str]) -> list[float]:
    """By the model's own comparison of every picture with every text."""
    network = CLIPModel.from_pretrained(folder).eval()
    pixels = CLIPImageProcessorPil.from_pretrained(folder)(images, return_tensors="pt").pixel_values
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    cosines = []
    for index, prompt in enumerate(prompts):
        ids = tokenizer([prompt], truncation=True, max_length=LENGTH, return_tensors="pt").input_ids
        with torch.no_grad():
            seen = network(input_ids=ids, pixel_values=pixels[index : index + 1])
            cosines.append(float(seen.logits_per_image / network.logit_scale.exp()))
    return [100 * cosine for cosine in cosines]


def test_the_score_is_the_cosine_of_a_clip_models_own_vectors(clip: str) -> None:
    shown = pictures(3, 48, 40)
    scores = ClipScore(clip)(shown, prompts=PROMPTS)["clip"].to_list()
    assert scores == pytest.approx(plain_scores(clip, shown, PROMPTS), abs=1e-3)
    assert len({round(score, 2) for score in scores}) == 3


def test_more_pictures_than_a_batch_are_judged_as_each_alone(clip: str) -> None:
    judge, shown, prompts = ClipScore(clip), pictures(35), [PROMPTS[index % 3] for index in range(35)]
    alone = [judge([image], prompts=[prompt])["clip"].item() for image, prompt in zip(shown, prompts, strict=True)]
    assert judge(shown, prompts=prompts)["clip"].to_list() == pytest.approx(alone, abs=1e-3)


def test_the_worlds_own_towers_find_the_right_caption_for_most_renders() -> None:
    captioned = stream(0)
    drawn = [one for one in (next(captioned) for _ in range(40)) if one.kind == "object"][:12]
    shown, captions = [Image.fromarray(render(one.picture)) for one in drawn], [one.caption for one in drawn]
    judge = ClipScore()
    right = judge(shown, prompts=captions)["clip"].mean()
    wrong = judge(shown, prompts=captions[1:] + captions[:1])["clip"].mean()
    assert isinstance(right, float) and isinstance(wrong, float) and right > wrong
    assert judge.columns["clip"].direction == "higher"


def test_other_towers_are_another_judge(clip: str) -> None:
    assert ClipScore(clip).revision != ClipScore().revision
    assert ClipScore(clip).settings != ClipScore().settings


@pytest.mark.parametrize(
    ("old", "new"), [('"quick_gelu"', '"relu"'), ('"layer_norm_eps": 1e-05', '"layer_norm_eps": 0.1')]
)
def test_a_network_with_the_same_weights_that_answers_otherwise_is_another_judge(
    clip: str, tmp_path: Path, old: str, new: str
) -> None:
    shutil.copytree(clip, tmp_path / "other")
    path = tmp_path / "other" / "config.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert ClipScore(str(tmp_path / "other")).revision != ClipScore(clip).revision


def test_towers_that_read_texts_otherwise_are_another_judge(clip: str, tmp_path: Path) -> None:
    shutil.copytree(clip, tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    content = json.loads(path.read_text())
    words = content["model"]["vocab"]
    words["a</w>"], words["b</w>"] = words["b</w>"], words["a</w>"]
    path.write_text(json.dumps(content))
    assert ClipScore(str(tmp_path / "other")).revision != ClipScore(clip).revision


def test_where_a_network_lies_and_who_wrote_it_is_not_what_it_is(clip: str, tmp_path: Path) -> None:
    shutil.copytree(clip, tmp_path / "copy")
    path = tmp_path / "copy" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "transformers_version": "4.0.0"}))
    assert ClipScore(str(tmp_path / "copy")).revision == ClipScore(clip).revision
