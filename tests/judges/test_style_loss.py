from __future__ import annotations

import pytest
import torch
from judges.test_distance import residual_outputs
from judges.toys import pictures
from torch import Tensor

from turpentine.judges.style_loss import StyleLoss, style_loss


def loops(x: list[Tensor], y: list[Tensor]) -> float:
    """`F.mse_loss(gram(a), gram(b))` of the tutorial that ESD's `styleloss.py` follows, entry by entry."""
    total = 0.0
    for a, b in zip(x, y, strict=True):
        channels, height, width = a.shape
        apart = 0.0
        for i in range(channels):
            for j in range(channels):
                g, h = (float((one[i] * one[j]).sum()) / (channels * height * width) for one in (a, b))
                apart += (g - h) ** 2
        total += apart / channels**2
    return total


def test_the_loss_is_that_of_gram_matrices() -> None:
    shown, others = pictures(2), pictures(2, seed=1)
    found = StyleLoss("emoji judge")(shown, references=others)["style_loss"].to_list()
    plain = [loops(residual_outputs(a), residual_outputs(b)) for a, b in zip(shown, others, strict=True)]
    assert found == pytest.approx(plain, rel=1e-5)
    assert min(plain) > 0


def test_where_things_are_is_no_style() -> None:
    layer = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    moved = layer.roll((1, 2), dims=(2, 3))
    assert style_loss([layer], [moved]).item() == pytest.approx(0, abs=1e-12)
    assert style_loss([layer], [2 * layer]).item() > 1e-3
