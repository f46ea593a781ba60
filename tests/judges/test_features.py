from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from judges.toys import pictures
from transformers import CLIPModel, ResNetForImageClassification
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.emoji.judge_network import ANSWERS, load_judge
from turpentine.judges.classifier import ImageClassifier
from turpentine.judges.feature_maps import as_maps
from turpentine.judges.features import NETWORKS, Features, extractor


@pytest.fixture(params=list(NETWORKS))
def settings(request: pytest.FixtureRequest, clip: str, classifier: str) -> dict[str, Any]:
    """Of each network by name."""
    models = {"clip": clip, "classifier": classifier}
    return {"network": request.param, "model": models.get(request.param)}


def vectors(shown: list[Any], **settings: Any) -> np.ndarray:
    return Features(**settings)(shown)["features"].to_numpy()


def test_a_vector_is_of_its_picture_alone(settings: dict[str, Any]) -> None:
    shown = pictures(35)
    together = vectors(shown, **settings)
    assert together.shape == (35, extractor(**settings).width)
    for index in (0, 20, 34):
        np.testing.assert_allclose(vectors(shown[index : index + 1], **settings)[0], together[index], atol=1e-5)
    assert np.ptp(together, axis=0).max() > 0.01


def test_maps_are_a_picture_of_channels_for_each_layer(settings: dict[str, Any]) -> None:
    found = extractor(**settings).maps(pictures(3))
    assert len(found) > 1
    for layer in found:
        assert layer.ndim == 4 and len(layer) == 3 and layer.shape[2] == layer.shape[3] > 1


def test_features_of_a_classifier_are_what_its_last_layer_reads(classifier: str) -> None:
    last = ResNetForImageClassification.from_pretrained(classifier).classifier[-1]
    seen = vectors(pictures(5), network="classifier", model=classifier)
    logits = seen @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = ImageClassifier(classifier, ())(pictures(5))
    np.testing.assert_allclose(p.max(axis=1), rows["class_p"].to_numpy(), atol=1e-5)


def test_features_of_the_judge_are_what_its_last_layer_reads() -> None:
    network = load_judge()
    seen = torch.from_numpy(vectors(pictures(5), network="emoji judge").copy())
    parts = network.network.conv_out(seen).split([len(answers) for answers in ANSWERS.values()], dim=1)
    for attribute, logits, heat in zip(ANSWERS, parts, network.log_temperature.exp(), strict=True):
        p = (logits / heat).softmax(-1)
        torch.testing.assert_close(p, network.probabilities(pictures(5))[attribute], atol=1e-5, rtol=0)


def test_features_of_clip_are_its_image_vectors_of_unit_length(clip: str) -> None:
    shown = pictures(4, 40, 50)
    network = CLIPModel.from_pretrained(clip).eval()
    pixels = CLIPImageProcessorPil.from_pretrained(clip)(shown, return_tensors="pt").pixel_values
    with torch.no_grad():
        embeds = network(input_ids=torch.zeros(1, 4, dtype=torch.long), pixel_values=pixels).image_embeds.numpy()
    plain = embeds / np.linalg.norm(embeds, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors(shown, network="clip", model=clip), plain, atol=1e-5)


def test_tokens_become_places_and_the_class_token_is_left_out() -> None:
    tokens = torch.arange(2 * 5 * 3).reshape(2, 5, 3).float()
    maps = as_maps([tokens, tokens, tokens[:, 1:]])  # the first is the input
    assert [tuple(layer.shape) for layer in maps] == [(2, 3, 2, 2)] * 2
    for layer in maps:
        assert layer[1, :, 1, 0].tolist() == tokens[1, 1 + 2].tolist()
    with pytest.raises(BadArgument, match="no map"):
        as_maps([tokens, tokens[0]])


def test_networks_that_cannot_be_are_errors_before_anything_is_read() -> None:
    with pytest.raises(UnknownName, match="did you mean 'emoji judge'"):
        Features("emoji jugde")
    for network in ("clip", "classifier"):
        with pytest.raises(BadArgument, match="hub id"):
            Features(network)
    with pytest.raises(BadArgument, match="leave the model"):
        Features("emoji", model="somewhere")
