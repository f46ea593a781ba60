"""What every backend needs: the loop of one worker process, and its progress."""

from __future__ import annotations

import os

from turpentine.core.signals import sigterm_interrupts
from turpentine.core.threads import using_threads
from turpentine.runs.plan import Plan
from turpentine.runs.store import Store
from turpentine.runs.worker import PhaseProgress, Worker


def worker(folder: str | os.PathLike[str], *, progress: PhaseProgress | None = None) -> None:
    """Join the work on a store, as one process, until all is done; the run that began it writes the results.

    For batch systems such as Slurm, on a folder that all machines share.

    Args:
        folder: The store's folder.
        progress: Called as `progress(phase, done, total)`.

    Raises:
        LedgerError: No bench was begun in the folder, or it is damaged.
    """
    store = Store(folder)
    plan, threads = store.planned()
    with sigterm_interrupts(), using_threads(threads), store.at_work(plan):
        Worker(plan, store, progress=progress).run()


def report_progress(plan: Plan, store: Store, progress: PhaseProgress) -> None:
    """Report how far the workers of a store are, by what the store holds."""
    total = sum(len(job.batch) for job in plan.jobs)
    progress("pictures", total - sum(len(job.batch) for job in store.missing(plan)), total)
    if plan.edit_specs:
        progress("edits", sum(map(store.edits.has_record, plan.edit_specs)), len(plan.edit_specs))
