"""How long a bench may take, and how much room: by what is done already, or by a short trial."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import NamedTuple

import polars as pl
from PIL import Image

from turpentine.core.imaging import encoded
from turpentine.runs.batches import Batch
from turpentine.runs.model_cache import ModelCache
from turpentine.runs.plan import Plan
from turpentine.runs.store import Store

# Enough of what was done to tell a rate by.
_PARTS = 20

# Two numbers of steps to try: their difference is what steps take, and the rest is what comes once.
_FEW, _MORE = 1, 4


@dataclass(frozen=True)
class Expected:
    """What is left of a bench, as far as that can be estimated.

    Attributes:
        pictures: How many are left to draw.
        edits: How many are left to make.
        seconds: Time that drawing those pictures may take, on one worker.
        bytes: Room that they may take.
        edit_seconds: Time that the edits may take; None where none was made yet.
        edit_bytes: Room that they may take; None where none was made yet.
        basis: What the estimate is based on.
    """

    pictures: int
    edits: int
    seconds: float
    bytes: float
    edit_seconds: float | None
    edit_bytes: float | None
    basis: str


class _PictureCost(NamedTuple):
    """The cost of one picture.

    Attributes:
        seconds: Time to draw it.
        bytes: Size of its file.
    """

    seconds: float
    bytes: float


def estimate(plan: Plan, store: Store) -> Expected:
    """Estimate what is left to do.

    Where nothing was done yet a batch is drawn with few steps and with more; nothing is written.

    Args:
        plan: The work.
        store: What is done already.

    Raises:
        LedgerError: The store is damaged.
    """
    left = store.missing(plan)
    pictures = sum(len(job.batch) for job in left)
    past = _past(store, plan)
    rate = past or (_trial(left[0].batch) if left else _PictureCost(0, 0))
    entries = [facts for facts in map(store.edits.record, plan.edit_specs) if facts]
    finished = [facts for facts in entries if facts.error is None]
    edits = len(plan.edit_specs) - len(entries)
    return Expected(
        pictures,
        edits,
        pictures * rate.seconds,
        pictures * rate.bytes,
        edits * fmean(facts.seconds for facts in finished) if finished else None,
        edits * fmean(facts.bytes for facts in finished) if finished else None,
        "what was done so far" if past else "a short trial",
    )


def _past(store: Store, plan: Plan) -> _PictureCost | None:
    """Return the mean cost of some pictures that were drawn; None where there are none."""
    done = store.draws.present(job.batch.key for job in plan.jobs)
    keys = list(islice((job.batch.key for job in plan.jobs if job.batch.key in done), _PARTS))
    tables = [table for key in keys if (table := store.draws.get(key)) is not None]
    if not tables:
        return None
    parts = pl.concat(tables)
    names = parts["image"].drop_nulls().head(_PARTS)
    sizes = [path.stat().st_size for path in map(store.images.path, names) if path.is_file()]
    return _PictureCost(_mean(parts["seconds"]), _mean(sizes))


def _trial(batch: Batch) -> _PictureCost:
    """Return the mean cost of a batch's pictures, by drawing it with few steps and with more."""
    model = ModelCache().model(batch.draw_spec.source)
    prompts, seeds = zip(*batch.pairs, strict=True)
    settings = {**batch.draw_spec.settings, "batch_size": len(batch)}

    def timed_draw(steps: int) -> tuple[float, list[Image.Image]]:
        start = time.monotonic()
        images = model.generate(prompts, seeds=seeds, **{**settings, "steps": steps}, progress=False)
        return time.monotonic() - start, images

    timed_draw(_FEW)  # the first time is slow
    (few, _), (more, images) = timed_draw(_FEW), timed_draw(_MORE)
    seconds = extrapolated(few, more, batch.draw_spec.steps)
    return _PictureCost(seconds / len(batch), _mean([len(encoded(image, "PNG")) for image in images]))


def extrapolated(few: float, more: float, steps: int) -> float:
    """Return the time that some steps take, from those that _FEW and _MORE of them took; never less than `few`.

    Example:
        >>> extrapolated(2.0, 5.0, 11)
        12.0
    """
    return max(few, few + (steps - _FEW) * (more - few) / (_MORE - _FEW))


def _mean(values: Iterable[float]) -> float:
    entries: Sequence[float] = list(values)
    return fmean(entries) if entries else 0.0
