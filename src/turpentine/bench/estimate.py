"""How long a bench may take, and how much room: by what was done already, or by a short trial."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import NamedTuple

from turpentine.bench.easel import Easel
from turpentine.bench.plan import Plan
from turpentine.bench.store import Store
from turpentine.bench.work import Batch
from turpentine.pictures import encoded

# Enough of what was done, or of steps to try, to tell a rate by.
_PARTS = 20
_STEPS = 2


@dataclass(frozen=True)
class Expected:
    """What is left of a bench, as far as that can be told.

    pictures, edits: how many. seconds, bytes: that drawing and keeping those pictures may take, on one worker.
    edit_seconds: that the edits may, None where none was made yet. basis: what the estimate is by.
    """

    pictures: int
    edits: int
    seconds: float
    bytes: float
    edit_seconds: float | None
    basis: str


class _Rate(NamedTuple):
    """Of one picture."""

    seconds: float
    bytes: float


def estimate(plan: Plan, store: Store) -> Expected:
    """What is left to do. Where nothing was done yet a batch is drawn with few steps; nothing is written.

    Raises LedgerError for a damaged store, and as models load.
    """
    left = store.missing(plan)
    pictures = sum(len(job.batch) for job in left)
    past = _past(store, plan)
    rate = past or (_trial(left[0].batch) if left else _Rate(0, 0))
    made = [facts.seconds for facts in map(store.changes.made, plan.recipes) if facts]
    edits = len(plan.recipes) - len(made)
    return Expected(
        pictures,
        edits,
        pictures * rate.seconds,
        pictures * rate.bytes,
        edits * fmean(made) if made else None,
        "what was done so far" if past else "a short trial",
    )


def _past(store: Store, plan: Plan) -> _Rate | None:
    """The rate of some batches that were drawn."""
    done = store.draws.keys()
    keys = list(islice((job.batch.key for job in plan.jobs if job.batch.key in done), _PARTS))
    if not keys:
        return None
    parts = store.draws.gather(keys)
    names = parts["image"].drop_nulls().head(_PARTS)
    sizes = [path.stat().st_size for path in map(store.images.path, names) if path.is_file()]
    return _Rate(_mean(parts["seconds"]), _mean(sizes))


def _trial(batch: Batch) -> _Rate:
    """The rate of a batch with few steps, scaled up, and with it what comes beside the steps: it is a little much."""
    model = Easel().model(batch.state.source)
    prompts, seeds = zip(*batch.pairs, strict=True)
    steps = min(_STEPS, batch.state.steps)
    start = time.monotonic()
    images = model.generate(prompts, seeds=seeds, batch_size=len(batch), **{**batch.state.settings, "steps": steps})
    each = (time.monotonic() - start) / len(batch)
    return _Rate(each * batch.state.steps / steps, _mean([len(encoded(image, "PNG")) for image in images]))


def _mean(values: Iterable[float]) -> float:
    known: Sequence[float] = list(values)
    return fmean(known) if known else 0.0
