"""Batches ahead of their updates, drawn by other processes: a GPU would otherwise wait for pictures to be rendered."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np
import torch

from turpentine.emoji.train.update import Batch

Draw = Callable[[np.random.Generator], Batch]


def batches(draw: Draw, seed: int, start: int, stop: int) -> Iterator[Batch]:
    """Yield the batch of each update from `start` to before `stop`; an update's batch hangs on its number alone."""
    for step in range(start, stop):
        yield draw(np.random.default_rng((seed, step)))


@contextmanager
def batches_ahead(draw: Draw, seed: int, start: int, stop: int, workers: int) -> Iterator[Iterator[Batch]]:
    """Give the same batches as `batches`, drawn by processes and a few ahead.

    Args:
        draw: Must be picklable: a function of a module, or a `partial` of one.
        seed: Of all batches.
        start: First update.
        stop: The update before which to stop.
        workers: Processes.
    """
    pool = ProcessPoolExecutor(workers, get_context("forkserver"), _keep, (draw, seed))
    try:
        yield _in_order(pool, range(start, stop), 4 * workers)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, steps: range, ahead: int) -> Iterator[Batch]:
    waiting: deque[Future[dict[str, np.ndarray]]] = deque()
    for step in steps:
        waiting.append(pool.submit(_batch_of, step))
        if len(waiting) >= ahead:
            yield _as_tensors(waiting.popleft().result())
    while waiting:
        yield _as_tensors(waiting.popleft().result())


def _as_tensors(arrays: dict[str, np.ndarray]) -> Batch:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


_mine: tuple[Draw, int]


def _keep(draw: Draw, seed: int) -> None:
    global _mine
    os.nice(5)  # what trains goes before
    torch.set_num_threads(1)
    _mine = draw, seed


def _batch_of(step: int) -> dict[str, np.ndarray]:
    draw, seed = _mine
    return {name: tensor.numpy() for name, tensor in draw(np.random.default_rng((seed, step))).items()}
