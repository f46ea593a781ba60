"""Draws pictures by a protocol, and has them judged."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl
from PIL import Image

from turpentine.core.default_progress import shows_progress
from turpentine.core.progress import Progress
from turpentine.judges import Judge, PictureStatistics
from turpentine.models import Model
from turpentine.runs.batch_size import settled
from turpentine.runs.ledger import until_whole
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.rows import condition_rows
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec, Pair
from turpentine.runs.store import Store
from turpentine.runs.worker import Worker
from turpentine.tasks.cases import Case

Pictures: TypeAlias = Mapping[Pair, Image.Image]


@dataclass(frozen=True, eq=False)
class Measurement:
    """Pictures of one model, and their scores.

    Attributes:
        rows: One for each case and seed: the case's group, label, prompt, attribute and expected, seed, image (the
            SHA-256 of its PNG file), the judges' columns, and hit (null where there is no ground truth).
        images: The pictures by prompt and seed; one that could not be drawn is missing.
        protocol: What must be the same in two measurements for them to be compared, in types of JSON.
    """

    rows: pl.DataFrame
    images: Pictures
    protocol: Mapping[str, Any]


@shows_progress("Measuring", "pictures")
def measure(
    model: Model,
    cases: Sequence[Case],
    judge: Judge | None,
    protocol: Protocol | None = None,
    *,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Draw each prompt with each seed, once however many cases share it, and judge the pictures.

    Args:
        model: Measured as it is, with what is on it.
        cases: The prompts to draw, with their ground truth.
        judge: None where no judge can read the model's pictures; what the pixels alone show is measured in any case.
        protocol: How pictures are drawn; by default by `Protocol.of` the model, and as many at once as fit into the
            free memory.
        store: Keeps finished pictures; what it holds is not drawn again.
        progress: Called with pictures done and in all.

    Raises:
        BadArgument: The judge has no column for a case's attribute; nothing is drawn.
    """
    judges = {JudgeSpec.of(one): one for one in [*([judge] if judge else []), PictureStatistics()]}
    source = ModelSpec.of(model)

    def count_pictures(phase: str, done: int, total: int) -> None:
        if progress:
            progress(done, total)

    with _store_or_temporary(store) as opened:
        how = settled(protocol or Protocol.of(model), model, source, opened)
        condition = Condition(source, tuple(cases), how, tuple(judges))
        plan = Plan([condition])
        worker = Worker(plan, opened, models={source: model}, judges=judges, strict=True, progress=count_pictures)
        rows = until_whole(worker.run, lambda: condition_rows(condition, plan, opened)).drop("error")
        return Measurement(rows, pictures_of(rows, opened), condition.comparable)


def pictures_of(rows: pl.DataFrame, store: Store) -> dict[Pair, Image.Image]:
    """Read the pictures of some rows from their store.

    Raises:
        LedgerError: One is missing or damaged.
    """
    pictures = rows.drop_nulls("image").select("prompt", "seed", "image")
    names = {(prompt, seed): name for prompt, seed, name in pictures.iter_rows()}
    return {pair: store.picture(name) for pair, name in names.items()}


@contextmanager
def _store_or_temporary(store: Store | None) -> Iterator[Store]:
    """Give the store, or one that lasts as long as the block."""
    if store is not None:
        yield store
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Store(folder)
