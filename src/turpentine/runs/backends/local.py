"""Several worker processes on this machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from ctypes import c_ulong
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch

from turpentine.core.errors import TurpentineError
from turpentine.core.signals import sigterm_interrupts
from turpentine.core.threads import using_threads
from turpentine.runs.backends.process import report_progress
from turpentine.runs.leases import EXPIRES
from turpentine.runs.plan import Plan
from turpentine.runs.store import Store
from turpentine.runs.worker import PhaseProgress, Worker

# Seconds between two looks at the workers, and between two of their heartbeats.
_LOOK = 0.5

# Workers that may be lost in a row while nothing gets done: enough to find a picture that ends each of them.
_MOST_LOST = 10

# Seconds that a worker has to end by itself, and then again after a SIGTERM; a frozen one does neither.
_GRACE = 5.0

# How much longer than between two heartbeats the first may take: the libraries are imported before.
_START = 5

_INTERRUPTED = 128 + signal.SIGTERM


def run_processes(
    plan: Plan, store: Store, workers: int, progress: PhaseProgress | None, expires: float = EXPIRES
) -> None:
    """Run worker processes, one a device, until all is done; one that is lost, ended or frozen is replaced.

    Args:
        plan: The work.
        store: Where finished parts are.
        workers: How many.
        progress: Called as `progress(phase, done, total)`.
        expires: Seconds without a sign of life after which a worker counts as gone.

    Raises:
        TurpentineError: Workers are lost again and again, or one raised it; other errors of workers are raised too.
    """
    with _Crew(store.folder, workers, expires) as crew:
        left = store.missing(plan)
        lost = 0
        while left and crew.is_working():
            time.sleep(_LOOK)
            crew.end_frozen(_LOOK)
            before, left = left, store.missing(plan)
            ends = crew.replace_lost()
            lost = len(ends) + (lost if len(left) == len(before) else 0)
            if lost > _MOST_LOST:
                raise TurpentineError(
                    f"{lost} workers were lost one after the other, the last by {_how(ends)}: "
                    "is there memory enough for them, or does something end them?"
                )
            if progress:
                report_progress(plan, store, progress)
        crew.raise_failure()


@dataclass
class _Member:
    """A worker process as its parent sees it.

    Attributes:
        process: The process.
        beats: Its heartbeats, which it counts in memory that both share.
        heard: How many the parent has seen.
        silent: Seconds since then, in which the parent ran itself.
    """

    process: BaseProcess
    beats: c_ulong
    heard: int = 0
    silent: float = 0.0

    def listen(self, seconds: float) -> float:
        """Look for a heartbeat after some seconds, and return for how long there was none."""
        beats = self.beats.value
        self.heard, self.silent = beats, (0.0 if beats != self.heard else self.silent + seconds)
        return self.silent if beats else self.silent / _START


class _Crew:
    """Worker processes over one store."""

    def __init__(self, folder: Path, workers: int, expires: float) -> None:
        self._context = get_context("spawn")  # a forked process cannot use a GPU, or threads
        self._failures: SimpleQueue[BaseException] = self._context.SimpleQueue()
        self._folder, self._expires = folder, expires
        self._members = [self._start(number) for number in range(workers)]

    def is_working(self) -> bool:
        """Return whether a worker is at work, and none failed."""
        return self._failures.empty() and any(member.process.exitcode != 0 for member in self._members)

    def end_frozen(self, seconds: float) -> None:
        """Kill the workers that gave no sign of life for too long; a SIGTERM does not reach them.

        Args:
            seconds: Since the last look. A clock would count the time in which this process was frozen, too.
        """
        for member in self._members:
            if member.process.exitcode is None and member.listen(seconds) > self._expires:
                member.process.kill()
                member.process.join()

    def replace_lost(self) -> list[int]:
        """Start a new worker for each that was killed, crashed or was told to end, and return their exit codes."""
        ends = []
        for number, member in enumerate(self._members):
            code = member.process.exitcode
            if code:
                member.process.join()
                self._members[number] = self._start(number)
                ends.append(code)
        return ends

    def raise_failure(self) -> None:
        """Pass on the error of a worker, if one failed."""
        if not self._failures.empty():
            raise self._failures.get()

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        processes = [member.process for member in self._members]
        try:
            if kind is None:  # all is done, and they notice it
                _wait(processes)
            for process in processes:
                process.terminate()
            _wait(processes)
        finally:  # also after a second Ctrl-C
            for process in processes:
                process.kill()
            for process in processes:
                process.join()

    def _start(self, number: int) -> _Member:
        beats = self._context.RawValue(c_ulong, 0)
        process = self._context.Process(
            target=_work, args=(self._folder, number, beats, self._expires, self._failures), daemon=True
        )
        process.start()
        return _Member(process, beats)


def _wait(processes: Iterable[BaseProcess]) -> None:
    """Wait a while for processes to end."""
    end = time.monotonic() + _GRACE
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))


def _how(ends: list[int]) -> str:
    """Return how the last of some workers ended, by its exit code."""
    code = ends[-1]
    if code == _INTERRUPTED:
        return signal.SIGTERM.name
    return signal.Signals(-code).name if code < 0 else f"the exit code {code}"


def _work(folder: Path, number: int, beats: c_ulong, expires: float, failures: SimpleQueue[BaseException]) -> None:
    """Run the loop of a worker process."""
    at_end: list[Callable[[], None]] = []
    threading.Thread(target=_live, args=(beats, at_end), daemon=True).start()
    _choose_device(number)
    store = Store(folder)
    plan, threads = store.planned()
    try:
        with sigterm_interrupts(), using_threads(threads):
            worker = Worker(plan, store, expires=expires)
            at_end.append(worker.give_back)
            worker.run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)  # where the work is to go on, another takes its place
    except Exception as error:
        failures.put(error)


def _live(beats: c_ulong, at_end: Sequence[Callable[[], None]]) -> None:
    """Give heartbeats as long as the parent lives; then end this process, since nobody waits for its work.

    Where it is deep in some computation it is ended from here after a while.

    Args:
        beats: The heartbeats.
        at_end: Called then, to give back what it holds: of its work nothing is lost, so its end counts as no death.
    """
    parent = parent_process()
    while parent is not None and parent.is_alive():
        beats.value += 1
        parent.join(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    for give_back in at_end:
        give_back()
    os._exit(_INTERRUPTED)


def _choose_device(number: int) -> None:
    """Let a process see one of the GPUs that this one may use; it must come before torch looks at them."""
    count = torch.cuda.device_count()
    if count > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number % count]
