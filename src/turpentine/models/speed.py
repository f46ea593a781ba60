"""How fast a model is here, found out by trying."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from turpentine.models.model import Model

MOMENT = 0.25
"""Seconds that a call may take that is tried."""
GROWTH = 4
CALLS = 3
"""Of each number that is tried: whatever else the machine does then makes one of them slow."""


def seconds_a_row(model: Model, rows: int) -> float:
    """Return the seconds that a row of the denoiser takes where `rows` go in one call, or as many as take a moment."""
    x, cond = model.noise(range(rows)), model.encode([""])
    t = model.schedule.training_steps // 2

    def call(count: int) -> Callable[[], Tensor]:
        repeated = cond.repeat(count)
        return lambda: model.eps(x[:count], t, repeated)

    return _seconds_each(call, rows)


def seconds_a_text(model: Model, texts: int) -> float:
    """Return the seconds that a text takes where `texts` are encoded in one call, or as many as take a moment."""
    ids = model.family.tokenize([""])

    def call(count: int) -> Callable[[], Tensor]:
        repeated = {name: rows.repeat(count, 1) for name, rows in ids.items()}
        return lambda: model.encode_tokens(repeated).hidden

    return _seconds_each(call, texts)


def _seconds_each(call: Callable[[int], Callable[[], Tensor]], most: int) -> float:
    """Return the seconds of one of many, in larger and larger calls while the next one takes a moment at most.

    A large model takes minutes for as many as a small one does in a blink.

    Args:
        call: Gives what is to be called, for so many.
        most: No more than these.
    """
    count, compute = 1, call(1)
    _seconds(compute)  # which warms up
    quickest = _quickest(compute)
    while count < most and GROWTH * quickest <= MOMENT:
        count = min(GROWTH * count, most)
        quickest = _quickest(call(count))
    return quickest / count


def _quickest(compute: Callable[[], Tensor]) -> float:
    return min(_seconds(compute) for _ in range(CALLS))


def _seconds(compute: Callable[[], Tensor]) -> float:
    with torch.no_grad():
        start = time.monotonic()
        compute().sum().item()  # which waits for the device
        return time.monotonic() - start
