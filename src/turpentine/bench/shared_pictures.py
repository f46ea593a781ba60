"""The unedited models' pictures of several runs in one folder, so that each is drawn and judged once."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from turpentine.core.atomic_files import link_whole
from turpentine.runs.ledger import Ledger
from turpentine.runs.plan import Job, Plan
from turpentine.runs.store import Store


class SharedPictures:
    """A folder that runs put their unedited models' pictures and scores into, and take them from.

    A run's own folder stays whole by itself: files are linked into it, or copied. What cannot be drawn or judged, and
    what is damaged, is not shared.

    Args:
        folder: Where it is, or will be.
        threads: Of each worker of the runs: the last bits of a picture depend on their number, so each has its own.
    """

    def __init__(self, folder: str | os.PathLike[str], threads: int) -> None:
        self._store = Store(Path(folder) / f"threads-{threads}")

    def lend(self, plan: Plan, store: Store) -> None:
        """Put into a run's store what it needs and lacks."""
        _transfer(plan, self._store, store)

    def collect(self, plan: Plan, store: Store) -> None:
        """Take from a run's store what is not here yet."""
        _transfer(plan, store, self._store)


def _transfer(plan: Plan, source: Store, target: Store) -> None:
    for job in plan.jobs:
        if job.batch.draw_spec.edit_spec is None and _transfer_pictures(job, source, target):
            for judge in job.judges:
                _link(plan.score_key(job, judge), source.scores(judge), target.scores(judge))


def _transfer_pictures(job: Job, source: Store, target: Store) -> bool:
    """Link a batch's pictures and then the part that names them; return whether the target has them."""
    key = job.batch.key
    if key in target.draws:
        return True
    batch = source.load_batch(job.batch) if key in source.draws else None
    part = None if batch is None or any(batch.errors) else source.draws.get(key)
    for name in [] if part is None else part["image"]:
        link_whole(source.images.path(name), target.images.path(name))
    return _link(key, source.draws, target.draws)


def _link(key: str, source: Ledger, target: Ledger) -> bool:
    """Link a part that is whole and without errors; return whether the target has it."""
    if key in target:
        return True
    part = source.get(key) if key in source else None
    if part is None or not part.filter(pl.col("error").is_not_null()).is_empty():
        return False
    link_whole(source.path(key), target.path(key))
    return True
