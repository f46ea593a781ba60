"""The baselines that attention maps are held against see what they should."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from turpentine.emoji.vision import images_to_tensor
from turpentine.emoji.world import Picture, Placed, render
from turpentine.explain._image_stats import foreground, rank_inside
from turpentine.explain._masks import agreement

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PLACED = {side: Picture("white", (Placed("church", "noto", x, 8, 15),)) for side, x in (("left", 1), ("right", 16))}


@pytest.fixture
def segmentation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("segmentation")


@pytest.mark.parametrize("side", PLACED)
def test_baselines_look_at_the_named_object(segmentation: ModuleType, side: str) -> None:
    image = Image.fromarray(render(PLACED[side]))
    baselines = segmentation.Baselines()
    for maps in (baselines.label([image], ["church"]), baselines.similarity([image], ["church"])):
        (heat,) = maps
        assert heat.shape == (8, 8) and heat.min() >= 0
        rank = rank_inside(np.kron(heat, np.ones((4, 4))), foreground(image))
        assert rank is not None and rank > 0.8


def test_grad_cam_is_its_equation(segmentation: ModuleType) -> None:
    """Against the gradient of each place by hand: the score of the stage's output plus a small bump."""
    network = segmentation.Baselines().judge.network.double()
    x = images_to_tensor([Image.fromarray(render(PLACED["left"]))], 32).double()
    own = segmentation.class_activation(network, x, lambda logits: logits[:, 2])
    with torch.no_grad():
        before = network.stages[: segmentation.STAGE + 1](network.conv_in(x))
        small, weights = 1e-5, []
        for channel in range(before.shape[1]):
            bumped = before.clone()
            bumped[:, channel] += small
            ends = []
            for each in (bumped, before):
                after = torch.nn.functional.silu(network.norm(network.stages[segmentation.STAGE + 1 :](each)))
                ends.append(network.conv_out(torch.cat([after.mean((2, 3)), after.amax((2, 3))], dim=1))[0, 2])
            weights.append((ends[0] - ends[1]) / small / before[0, 0].numel())
        expected = (torch.stack(weights)[:, None, None] * before[0]).sum(0).clamp(min=0)
    assert torch.allclose(own[0], expected, atol=1e-4 * float(expected.max()))
    assert not network.stages[segmentation.STAGE]._forward_hooks


def test_the_best_that_a_coarse_map_could_do(segmentation: ModuleType) -> None:
    image = Image.fromarray(render(PLACED["right"]))
    (mask,) = segmentation.truths("small", [image])
    iou, auc, hit = agreement(segmentation.coarse(mask), image, mask, segmentation.SHARE, segmentation.RULE)
    assert hit and auc is not None and auc > 0.95 and 0.4 < iou < 0.9
    (half,) = segmentation.truths("pairs", [image])
    assert not half.any(), "the first of two objects is to the left"
