"""How fast a model is here, found out by trying."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from turpentine.models.model import Model


def seconds_a_row(model: Model, rows: int) -> float:
    """Return the seconds that a row of the denoiser takes where `rows` go in one call, by the second of two calls."""
    x, cond = model.noise(range(rows)), model.encode([""]).repeat(rows)
    t, seconds = model.schedule.training_steps // 2, 0.0
    with torch.no_grad():
        for _ in range(2):
            start = time.monotonic()
            model.eps(x, t, cond).sum().item()  # which waits for the device
            seconds = time.monotonic() - start
    return seconds / rows


def seconds_a_text(model: Model, texts: int) -> float:
    """Return the seconds that a text takes where `texts` are encoded in one call, by the second of two calls."""
    ids = {name: rows.repeat(texts, 1) for name, rows in model.family.tokenize([""]).items()}
    seconds = 0.0
    with torch.no_grad():
        for _ in range(2):
            start = time.monotonic()
            model.encode_tokens(ids).hidden.sum().item()  # which waits for the device
            seconds = time.monotonic() - start
    return seconds / texts
