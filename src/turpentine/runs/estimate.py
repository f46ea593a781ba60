"""How long a bench may take, and how much room: by what was done already, or by a short trial."""

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
from turpentine.runs.model_cache import ModelCache
from turpentine.runs.plan import Plan
from turpentine.runs.specs import Batch
from turpentine.runs.store import Store

# Enough of what was done to tell a rate by.
_PARTS = 20

# Two numbers of steps to try: their difference is what steps take, and the rest is what comes once.
_FEW, _MORE = 1, 4


@dataclass(frozen=True)
class Expected:
    """What is left of a bench, as far as that can be told.

    pictures, edits: how many. seconds, bytes: that drawing and keeping those pictures may take, on one worker.
    edit_seconds, edit_bytes: that the edits may, None where none was made yet. basis: what the estimate is by.
    """

    pictures: int
    edits: int
    seconds: float
    bytes: float
    edit_seconds: float | None
    edit_bytes: float | None
    basis: str


class _PictureCost(NamedTuple):
    """Of one picture."""

    seconds: float
    bytes: float


def estimate(plan: Plan, store: Store) -> Expected:
    """What is left to do. Where nothing was done yet a batch is drawn with few steps and more; nothing is written.

    Raises LedgerError for a damaged store, and as models load.
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
    """The rate of some batches that were drawn."""
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
    """The rate of a batch, by what few steps of it take and what more of them do."""
    model = ModelCache().model(batch.draw_spec.source)
    prompts, seeds = zip(*batch.pairs, strict=True)
    settings = {**batch.draw_spec.settings, "batch_size": len(batch)}

    def timed_draw(steps: int) -> tuple[float, list[Image.Image]]:
        start = time.monotonic()
        images = model.generate(prompts, seeds=seeds, **{**settings, "steps": steps})
        return time.monotonic() - start, images

    timed_draw(_FEW)  # the first time is slow
    (few, _), (more, images) = timed_draw(_FEW), timed_draw(_MORE)
    seconds = extrapolated(few, more, batch.draw_spec.steps)
    return _PictureCost(seconds / len(batch), _mean([len(encoded(image, "PNG")) for image in images]))


def extrapolated(few: float, more: float, steps: int) -> float:
    """What so many steps take, by what _FEW and _MORE of them took, and as long as _FEW at least."""
    return max(few, few + (steps - _FEW) * (more - few) / (_MORE - _FEW))


def _mean(values: Iterable[float]) -> float:
    entries: Sequence[float] = list(values)
    return fmean(entries) if entries else 0.0
