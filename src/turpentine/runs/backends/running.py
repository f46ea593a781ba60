"""One way to run a plan, wherever it runs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal, get_args

import torch

from turpentine.core.errors import BadArgument
from turpentine.runs.ledger import until_whole
from turpentine.runs.plan import Plan
from turpentine.runs.results import Results, compact
from turpentine.runs.store import Store
from turpentine.runs.worker import PhaseProgress, Worker

Backend = Literal["local", "ray"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


def run(
    plan: Plan,
    store: Store,
    *,
    backend: Backend = "local",
    workers: int = 1,
    threads: int | None = None,
    address: str | None = None,
    progress: PhaseProgress | None = None,
) -> Results:
    """Do what a plan asks for, and put what was found into one file; killed at any point, the same call goes on.

    What cannot be drawn or judged becomes a row with an error. Several runs may work on one store at once.
    backend: "local", in this process or in `workers` of its own; "ray", on a cluster. workers: how many, 1 or more; a
        device each. address: of a Ray cluster that runs already.
    threads: of each worker on a CPU. The last bits of all numbers depend on it, so that it is settled when a store is
        begun: by default this process's, however many workers there are, so that their number changes no result. Where
        they share cores, give each its part.
    Raises BadArgument for settings out of range or a folder where another plan is worked on, LedgerError for a damaged
    store, OSError as the file system does, KeyboardInterrupt also for a SIGTERM, and as models and judges load.
    """
    if workers < 1 or (threads is not None and threads < 1):
        raise BadArgument(f"workers is {workers} and threads {threads}: give 1 or more of each.")
    if address is not None and backend != "ray":
        raise BadArgument(f"The backend {backend} has no address: give it with the backend ray.")
    with sigterm_interrupts(), store.at_work(plan):
        settled = store.begin(plan, threads, torch.get_num_threads())

        def work() -> None:
            if backend == "ray":
                from turpentine.runs.backends.ray import run_on_ray

                run_on_ray(plan, store, workers, address, progress)
            elif workers > 1:
                from turpentine.runs.backends.local import run_processes

                run_processes(plan, store, workers, progress)
            else:
                with using_threads(settled):
                    Worker(plan, store, progress=progress).run()

        return until_whole(work, lambda: compact(plan, store))


def worker(folder: str | os.PathLike[str], *, progress: PhaseProgress | None = None) -> None:
    """Join the work on a store, as one process, until all is done; the run that began it writes the results.

    For batch systems such as Slurm, on a folder that all machines share. Raises LedgerError if no bench was begun
    there, and as `run` does.
    """
    store = Store(folder)
    plan, threads = store.planned()
    with sigterm_interrupts(), using_threads(threads), store.at_work(plan):
        Worker(plan, store, progress=progress).run()


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """torch on this many threads inside a `with` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """A SIGTERM is as good as a Ctrl-C inside a `with` block: what is done is kept. Only in the main thread."""
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
