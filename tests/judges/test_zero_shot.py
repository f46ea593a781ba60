"""CLIP as a zero-shot judge, against the formula written out once more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from judges.toys import pictures, saved_clip
from transformers import CLIPModel

from turpentine.core.errors import BadArgument
from turpentine.judges.base import Judge
from turpentine.judges.towers import ClipTowers
from turpentine.judges.zero_shot import ZeroShot

LABELS = {"church": "a church", "dog": "a dog", "an object": "an object"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved_clip(tmp_path_factory.mktemp("clip"))


def test_probabilities_are_a_softmax_over_the_means_of_the_templates(clip: str) -> None:
    judge = ZeroShot(LABELS, clip, templates=("{}", "a picture of {}"))
    images = pictures(5)
    network = CLIPModel.from_pretrained(clip).eval()
    towers = ClipTowers(clip)
    x = towers._processor(images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        seen = network.visual_projection(network.vision_model(x).pooler_output).numpy().astype(np.float64)
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    rows = []
    for text in LABELS.values():
        pair = towers.of_texts([text, f"a picture of {text}"]).numpy().astype(np.float64)
        mean = pair.mean(axis=0)
        rows.append(100 * seen @ (mean / np.linalg.norm(mean)))
    logits = np.stack(rows, axis=1)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(judge.probabilities(images).numpy(), expected, atol=1e-5)


def test_the_likeliest_label_is_said_and_none_below_the_threshold(clip: str) -> None:
    images = pictures(6)
    p = ZeroShot(LABELS, clip).probabilities(images)
    sure = ZeroShot(LABELS, clip, threshold=0.0)(images)
    names = list(LABELS)
    assert sure["subject"].to_list() == [names[index] for index in p.argmax(dim=1).tolist()]
    assert sure["subject_p"].to_list() == pytest.approx(p.max(dim=1).values.tolist())
    assert all(first != second for first, second in sure.select("subject", "subject_second").iter_rows())
    middle = float(p.max(dim=1).values.median())
    strict = ZeroShot(LABELS, clip, threshold=middle)(images)
    assert strict["subject"].is_null().to_list() == (p.max(dim=1).values < middle).tolist()


def test_no_picture_gives_the_same_columns(clip: str) -> None:
    judge = ZeroShot(LABELS, clip)
    assert isinstance(judge, Judge)
    assert judge([]).schema == judge(pictures(1)).schema
    assert tuple(judge([]).columns) == tuple(judge.columns)
    assert judge.columns["subject"].labels == tuple(LABELS)


def test_labels_templates_and_threshold_decide_what_is_comparable(clip: str) -> None:
    settings = ZeroShot(LABELS, clip, threshold=0.25).settings
    assert settings["labels"] == LABELS
    assert settings["threshold"] == 0.25
    assert settings["templates"]
    assert ZeroShot(["a", "b"], clip).settings["labels"] == {"a": "a", "b": "b"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"labels": ["church"]}, "two or more"),
        ({"labels": LABELS, "threshold": 1.5}, "threshold"),
        ({"labels": LABELS, "templates": ("a photo",)}, "template"),
        ({"labels": LABELS, "templates": ()}, "template"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(BadArgument, match=named):
        ZeroShot(**settings)


def test_it_says_what_it_must_fetch_and_fetches_nothing(clip: str) -> None:
    assert ZeroShot(LABELS, clip).download is None
    assert "nobody/has-this-clip" in str(ZeroShot(LABELS, "nobody/has-this-clip").download)
