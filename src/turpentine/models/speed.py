"""How fast a model is here, found out by trying."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from turpentine.models.model import Model

CALLS = 3
"""Tried: the first one warms up, and whatever else the machine does then makes one of them slow."""


def seconds_a_row(model: Model, rows: int) -> float:
    """Return the seconds that a row of the denoiser takes where `rows` go in one call, by the quickest of three."""
    x, cond = model.noise(range(rows)), model.encode([""]).repeat(rows)
    t = model.schedule.training_steps // 2
    return _quickest(lambda: model.eps(x, t, cond)) / rows


def seconds_a_text(model: Model, texts: int) -> float:
    """Return the seconds that a text takes where `texts` are encoded in one call, by the quickest of three."""
    ids = {name: rows.repeat(texts, 1) for name, rows in model.family.tokenize([""]).items()}
    return _quickest(lambda: model.encode_tokens(ids).hidden) / texts


def _quickest(compute: Callable[[], Tensor]) -> float:
    seconds = []
    with torch.no_grad():
        for _ in range(CALLS):
            start = time.monotonic()
            compute().sum().item()  # which waits for the device
            seconds.append(time.monotonic() - start)
    return min(seconds)
