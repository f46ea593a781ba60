"""The loop of every worker: take what is not done, do it, write it down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property, partial
from itertools import groupby

from turpentine.judges import Judge
from turpentine.models import Model
from turpentine.runs.async_writer import AsyncWriter
from turpentine.runs.executor import Executor
from turpentine.runs.leases import EXPIRES, Lease, Leases
from turpentine.runs.ledger import LostPart
from turpentine.runs.plan import Job, Plan
from turpentine.runs.retry import GivenUp
from turpentine.runs.specs import EditSpec, JudgeSpec, ModelSpec
from turpentine.runs.store import Store

PhaseProgress = Callable[[str, int, int], None]
"""Called as `progress(phase, done, total)`: "edits" counts edits, "edit" a method's own units, "pictures" pictures."""

# Seconds between two looks at what other workers do.
_WAIT = 0.5


class Worker:
    """Works through a plan beside any number of others over the same store.

    Args:
        plan: The work.
        store: Where finished parts are.
        models: Models that are loaded already, by spec; others are loaded when needed.
        judges: Judges that are loaded already, by spec; others are loaded when needed.
        strict: Pass errors on as they come; by default what cannot be done becomes a row that says why.
        progress: Called as `progress(phase, done, total)`.
        expires: Seconds without a sign of life after which another worker counts as gone.
        stop: Called between two pieces of work; true ends the loop.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        *,
        models: Mapping[ModelSpec, Model] | None = None,
        judges: Mapping[JudgeSpec, Judge] | None = None,
        strict: bool = False,
        progress: PhaseProgress | None = None,
        expires: float = EXPIRES,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._plan, self._store = plan, store
        self._progress = progress or (lambda phase, done, total: None)
        self._leases = Leases(store.leases, expires)
        self._executor = Executor(plan, store, self._leases, models=models, judges=judges, strict=strict)
        self._writer = AsyncWriter()
        self._stop = stop
        self._done: int | None = None

    def run(self) -> None:
        """Work until all is done, by this worker or another.

        Leases are given back and the model is as before, also after an error.

        Raises:
            OSError: As the file system does.
            LedgerError: A file is damaged.
        """
        with ExitStack() as at_end:
            at_end.callback(self._executor.clear)
            at_end.callback(self._leases.close)
            at_end.enter_context(self._writer)
            while (left := self._left()) and not self._stop():
                if not self._go_round(left):
                    time.sleep(_WAIT)

    def make_edits(self) -> None:
        """Make all edits of the plan, in this worker or another, before any picture is drawn.

        Raises:
            OSError: As the file system does.
            LedgerError: A file is damaged.
        """
        with ExitStack() as at_end:
            at_end.callback(self._executor.clear)
            at_end.callback(self._leases.close)
            for edit_spec in self._plan.edit_specs:
                while not (self._has_edit(edit_spec) or self._stop()):
                    time.sleep(_WAIT)

    def give_back(self) -> None:
        """Give all leases back from another thread, in a process that ends before its work does."""
        self._leases.close()

    def _left(self) -> list[Job]:
        """Return the jobs that are not done."""
        left = self._store.missing(self._plan)
        self._report(self._pictures - sum(len(job.batch) for job in left))
        return left

    @cached_property
    def _pictures(self) -> int:
        return sum(len(job.batch) for job in self._plan.jobs)

    def _report(self, done: int) -> None:
        if done != self._done:
            self._done = done
            self._progress("pictures", done, self._pictures)

    def _go_round(self, left: Iterable[Job]) -> bool:
        """Do the jobs that no other worker does; those of one draw spec together, so that edits are put on seldom."""
        worked = False
        for draw_spec, jobs in groupby(left, key=lambda job: job.batch.draw_spec):
            if draw_spec.edit_spec is None or self._has_edit(draw_spec.edit_spec):
                for job in jobs:
                    worked |= not self._stop() and self._take(job)
            self._writer.settle()
        return worked

    def _has_edit(self, edit_spec: EditSpec) -> bool:
        """Make the edit and those below it, unless they are there; return false while another worker makes one."""
        return all(self._has_own_edit(each) for each in edit_spec.stack)

    def _has_own_edit(self, edit_spec: EditSpec) -> bool:
        """Make the edit on top of those below it, unless it is there; false where it has to wait for something."""
        edits = self._store.edits
        if edits.record(edit_spec):
            return True
        lease = self._leases.take(f"edit-{edit_spec.key}")
        if lease is None:
            return False
        try:
            if not edits.record(edit_spec):
                self._make(edit_spec, lease.deaths)
        except LostPart:  # of an edit below it, which is made anew first
            self._leases.release(lease, done=False)
            return False
        self._leases.release(lease, done=True)
        return True

    def _make(self, edit_spec: EditSpec, deaths: int) -> None:
        edits, start = self._store.edits, time.monotonic()
        with edits.checkpoint(edit_spec) as folder:
            if folder.is_dir() and any(folder.iterdir()):
                deaths = 0  # it gets further each time
            try:
                change = self._executor.make(edit_spec, folder, deaths, partial(self._progress, "edit"))
                edits.put(edit_spec, change, time.monotonic() - start)
            except GivenUp as error:
                edits.put_error(edit_spec, str(error))
        self._progress("edits", sum(map(edits.has_record, self._plan.edit_specs)), len(self._plan.edit_specs))

    def _take(self, job: Job) -> bool:
        """Do a job, unless another worker does, or its references are not there yet; return whether it is done."""
        if not self._store.has_references(self._plan, job):
            return False
        lease = self._leases.take(job.batch.key)
        if lease is None:
            return False
        if lease.deaths:
            self._writer.settle()  # should this worker be lost too, it takes nothing else with it
        if self._store.is_done(self._plan, job):
            self._leases.release(lease, done=True)
        else:
            self._work(job, lease)
        return True

    def _work(self, job: Job, lease: Lease) -> None:
        """Draw and judge a batch, and leave the writing to another thread.

        A part of other workers that this needs may turn out damaged: then it has been removed, and is made anew first.
        """
        self._executor.load(job.batch.draw_spec.source)
        start = time.monotonic()
        stored = self._store.load_batch(job.batch)
        try:
            drawing = stored or self._executor.draw(job.batch, lease.deaths)
            seconds = time.monotonic() - start
            if stored is None and lease.deaths:  # it may be a judge that ends workers
                self._store.put_batch(drawing, seconds)
                stored = drawing
            scores = {judge: self._executor.judge(judge, job, drawing, lease.deaths) for judge in self._unjudged(job)}
        except LostPart:
            self._leases.release(lease, done=False)
            return

        def write() -> None:
            if stored is None:
                self._store.put_batch(drawing, seconds)
            for judge, part in scores.items():
                self._store.scores(judge).put(self._plan.score_key(job, judge), part)
            self._leases.release(lease, done=True)

        self._writer.put(write, lambda: self._report((self._done or 0) + len(job.batch)))

    def _unjudged(self, job: Job) -> list[JudgeSpec]:
        return [judge for judge in job.judges if self._plan.score_key(job, judge) not in self._store.scores(judge)]
