"""One thread for few rows of a small denoiser: a second makes them no faster, and slow beside other work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from turpentine.core.threads import using_threads
from turpentine.models.drawing_defaults import is_small

if TYPE_CHECKING:
    from turpentine.models.model import Model

FEW = 8
"""Rows of a call; more of them are worth a second thread."""


@contextmanager
def threads_for(model: Model, rows: int) -> Iterator[None]:
    """Run on one thread inside a `with` block where calls of a denoiser are too small to be shared.

    An update of one to four rows of the emoji world takes as long on one thread as on two; on two, each of hundreds of
    layers waits for both, which takes eight times as long where something else runs on one of the cores.

    Args:
        model: Whose denoiser is called. One of larger pictures keeps its threads, as does one on a GPU.
        rows: Of a call.
    """
    if rows > FEW or not is_small(model) or model.device.type != "cpu":
        yield
        return
    with using_threads(1):
        yield
