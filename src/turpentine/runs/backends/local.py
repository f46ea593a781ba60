"""Several worker processes on this machine."""

from __future__ import annotations

import os
import time
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch

from turpentine.core.errors import TurpentineError
from turpentine.runs.backends.process import report_progress, sigterm_interrupts, using_threads
from turpentine.runs.plan import Plan
from turpentine.runs.store import Store
from turpentine.runs.worker import PhaseProgress, Worker

# Seconds between two looks at the workers.
_LOOK = 0.5

# Workers that may be lost in a row while nothing gets done: enough to find a picture that ends each of them.
_MOST_LOST = 10


def run_processes(plan: Plan, store: Store, workers: int, progress: PhaseProgress | None) -> None:
    """Run worker processes, one a device, until all is done; one that is lost is replaced.

    Args:
        plan: The work.
        store: Where finished parts are.
        workers: How many.
        progress: Called as `progress(phase, done, total)`.

    Raises:
        TurpentineError: Workers are lost again and again, or one raised it; other errors of workers are raised too.
    """
    with _Crew(store.folder, workers) as crew:
        left = store.missing(plan)
        lost = 0
        while crew.is_working():
            time.sleep(_LOOK)
            before, left = left, store.missing(plan)
            lost = crew.replace_lost() + (lost if len(left) == len(before) else 0)
            if lost > _MOST_LOST:
                raise TurpentineError(f"{lost} workers were lost one after the other: is there memory enough for them?")
            if progress:
                report_progress(plan, store, progress)
        crew.raise_failure()


class _Crew:
    """Worker processes over one store."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._context = get_context("spawn")  # a forked process cannot use a GPU, or threads
        self._failures: SimpleQueue[BaseException] = self._context.SimpleQueue()
        self._folder = folder
        self._processes = [self._start(number) for number in range(workers)]

    def is_working(self) -> bool:
        """Return whether a worker is at work, and none failed."""
        return self._failures.empty() and any(process.exitcode != 0 for process in self._processes)

    def replace_lost(self) -> int:
        """Start a new worker for each that was killed or crashed, and return how many they were."""
        lost = [number for number, process in enumerate(self._processes) if process.exitcode not in (None, 0)]
        for number in lost:
            self._processes[number].join()
            self._processes[number] = self._start(number)
        return len(lost)

    def raise_failure(self) -> None:
        """Pass on the error of a worker, if one failed."""
        if not self._failures.empty():
            raise self._failures.get()

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()

    def _start(self, number: int) -> SpawnProcess:
        process = self._context.Process(target=_work, args=(self._folder, number, os.getpid(), self._failures))
        process.start()
        return process


def _work(folder: Path, number: int, parent: int, failures: SimpleQueue[BaseException]) -> None:
    """Run the loop of a worker process."""
    _choose_device(number)
    store = Store(folder)
    plan, threads = store.planned()
    try:
        with sigterm_interrupts(), using_threads(threads):
            # An orphan leaves: whoever killed its parent wants no more work done.
            Worker(plan, store, stop=lambda: os.getppid() != parent).run()
    except KeyboardInterrupt:
        pass
    except Exception as error:
        failures.put(error)


def _choose_device(number: int) -> None:
    """Let a process see one of the GPUs that this one may use; it must come before torch looks at them."""
    count = torch.cuda.device_count()
    if count > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number % count]
