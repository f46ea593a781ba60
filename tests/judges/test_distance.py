from __future__ import annotations

import math

import pytest
import torch
from judges.toys import pictures
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.emoji.judge_network import load_judge
from turpentine.emoji.vision import Residual, images_to_tensor
from turpentine.judges.distance import Distance, distance


def loops(x: list[Tensor], y: list[Tensor]) -> float:
    """LPIPS with all weights 1 for one picture: over layers, places and channels."""
    total = 0.0
    for a, b in zip(x, y, strict=True):
        channels, height, width = a.shape
        apart = 0.0
        for i in range(height):
            for j in range(width):
                u, v = a[:, i, j].tolist(), b[:, i, j].tolist()
                nu, nv = (math.sqrt(sum(value**2 for value in one)) + 1e-10 for one in (u, v))
                apart += sum((u[c] / nu - v[c] / nv) ** 2 for c in range(channels))
        total += apart / (height * width)
    return total


def residual_outputs(image: Image.Image) -> list[Tensor]:
    """By hooks on the judge's network."""
    network, seen = load_judge().network, []
    for part in network.modules():
        if isinstance(part, Residual):
            part.register_forward_hook(lambda module, inputs, output: seen.append(output[0].detach().double()))
    network(images_to_tensor([image], 32))
    return seen


def test_the_distance_is_lpips_with_all_weights_one() -> None:
    shown, others = pictures(2), pictures(2, seed=1)
    found = Distance("emoji judge")(shown, references=others)["distance"].to_list()
    plain = [loops(residual_outputs(a), residual_outputs(b)) for a, b in zip(shown, others, strict=True)]
    assert found == pytest.approx(plain, rel=1e-5)


def test_channels_of_zero_are_at_no_distance_of_each_other() -> None:
    zero, one = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    assert distance([zero], [zero]).tolist() == [0.0]
    assert distance([zero], [one]).tolist() == pytest.approx([1.0])
    assert distance([one], [-one]).tolist() == pytest.approx([4.0])


def test_a_picture_is_at_no_distance_of_itself_and_as_far_as_the_other_is_from_it(clip: str) -> None:
    judge, shown, others = Distance("clip", clip), pictures(34), pictures(34, seed=1)
    assert judge(shown, references=shown)["distance"].to_list() == [0.0] * 34
    there, back = judge(shown, references=others)["distance"], judge(others, references=shown)["distance"]
    assert there.to_list() == pytest.approx(back.to_list(), abs=1e-6)
    assert there.min() > 0  # type: ignore[operator]


def test_more_noise_is_further_away() -> None:
    drawn = pictures(1, 64, 64)[0]
    blended = [Image.blend(drawn, pictures(1, 64, 64, seed=2)[0], share) for share in (0.1, 0.4, 0.9)]
    found = Distance()(blended, references=[drawn] * 3)["distance"].to_list()
    assert found == sorted(found) and found[0] > 0


def test_pictures_of_two_sizes_are_an_error() -> None:
    with pytest.raises(BadArgument, match="draw both alike"):
        Distance()(pictures(1), references=pictures(1, 64, 64))
