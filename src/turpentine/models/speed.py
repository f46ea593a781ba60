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
