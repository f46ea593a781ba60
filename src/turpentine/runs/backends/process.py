"""What every backend needs: threads, signals, the loop of one worker process, and its progress."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C inside a `with` block, so that what is done is kept; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if callable(signal.getsignal(signal.SIGINT)):
        signal.raise_signal(signal.SIGINT)  # who holds back a Ctrl-C, holds this back too
    else:
        raise KeyboardInterrupt
