"""Pictures drawn by a protocol, and what judges see in them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl
from PIL import Image

from turpentine.core.progress import Progress
from turpentine.judges import Judge, PictureStatistics
from turpentine.models import Model
from turpentine.runs import specs as work
from turpentine.runs.ledger import until_whole
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.rows import cell_rows
from turpentine.runs.specs import Cell, JudgeSpec, Pair, Source
from turpentine.runs.store import Store
from turpentine.runs.worker import Worker
from turpentine.tasks.cases import Case

Pictures: TypeAlias = Mapping[Pair, Image.Image]


@dataclass(frozen=True, eq=False)
class Measurement:
    """Pictures and what was seen in them.

    rows: one for each case and seed: the case's group, label, prompt, attribute and wanted, seed, image (the SHA-256 of
    its PNG file), the judges' columns, and hit (null where nobody knows what should be seen). images: the pictures by
    prompt and seed. protocol: all that must be the same in two measurements for them to be compared, as JSON has it.
    """

    rows: pl.DataFrame
    images: Pictures
    protocol: Mapping[str, Any]


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

    The model is measured as it is, with what is on it. judge: None where no judge can read the model's pictures; what
    the pixels alone say is measured in any case. store: keeps finished pictures, and what it holds is not drawn again.
    progress: called with pictures done and in all. Raises BadArgument where the judge knows nothing of a case's
    attribute, before any work.
    """
    made = {JudgeSpec.of(one): one for one in _judges(judge)}
    source = Source.of(model)
    cell = Cell(source, tuple(cases), protocol or Protocol(), tuple(made))

    def told(phase: str, done: int, total: int) -> None:
        if progress:
            progress(done, total)

    with _kept(store) as kept:
        plan = Plan([cell])
        worker = Worker(plan, kept, models={source: model}, judges=made, strict=True, progress=told)
        rows = until_whole(worker.run, lambda: cell_rows(cell, plan, kept)).drop("error")
        return Measurement(rows, pictures_of(rows, kept), cell.comparable)


def comparable(cases: Sequence[Case], judge: Judge | None, protocol: Protocol) -> dict[str, Any]:
    """What two measurements must share to be compared, as JSON has it: drawing, cases and judges."""
    return work.comparable(cases, map(JudgeSpec.of, _judges(judge)), protocol)


def pictures_of(rows: pl.DataFrame, store: Store) -> dict[Pair, Image.Image]:
    """The pictures of a measurement's rows, from where they are kept. Raises LedgerError for one that is not there."""
    names = {(prompt, seed): name for prompt, seed, name in rows.select("prompt", "seed", "image").iter_rows()}
    return {pair: store.picture(name) for pair, name in names.items()}


def _judges(judge: Judge | None) -> list[Judge]:
    return [*([judge] if judge else []), PictureStatistics()]


@contextmanager
def _kept(store: Store | None) -> Iterator[Store]:
    """The store, or one that lasts as long as the block."""
    if store is not None:
        yield store
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Store(folder)
