"""Runs a plan, on any backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch

from turpentine.core.default_progress import shows_phases
from turpentine.core.errors import BadArgument
from turpentine.core.signals import sigterm_interrupts
from turpentine.core.threads import using_threads
from turpentine.judges import Judge
from turpentine.models import Model
from turpentine.runs.backends.local import run_processes
from turpentine.runs.backends.ray import run_on_ray
from turpentine.runs.ledger import until_whole
from turpentine.runs.plan import Plan
from turpentine.runs.results import Results, compact
from turpentine.runs.specs import JudgeSpec, ModelSpec
from turpentine.runs.store import Store
from turpentine.runs.worker import PhaseProgress, Worker

Backend = Literal["local", "ray"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


PHASES: Mapping[str, tuple[str, str]] = {
    "edits": ("Edits", "edits"),
    "edit": ("Making an edit", "units"),
    "pictures": ("Drawing and judging", "pictures"),
}
"""Label and unit of each phase, for bars of progress."""


@shows_phases(PHASES)
def run(
    plan: Plan,
    store: Store,
    *,
    backend: Backend = "local",
    workers: int = 1,
    threads: int | None = None,
    address: str | None = None,
    progress: PhaseProgress | None = None,
    models: Mapping[ModelSpec, Model] | None = None,
    judges: Mapping[JudgeSpec, Judge] | None = None,
    edits_first: bool = False,
) -> Results:
    """Do all the work of a plan and compact it into one results file; killed at any point, the same call resumes.

    What cannot be drawn or judged becomes a row with an error. Several runs may work on one store at once.

    Args:
        plan: The lines of the table and their work.
        store: The folder that keeps every finished part.
        backend: "local", in this process or in `workers` of its own; "ray", on a cluster.
        workers: How many, 1 or more; a device each.
        threads: Of each worker on a CPU. The last bits of all numbers depend on it, so it is settled when a store is
            begun: by default this process's, however many workers there are, so that their number changes no result.
            Where they share cores, give each its part.
        address: Of a Ray cluster that runs already.
        progress: Called as `progress(phase, done, total)`, see `PHASES`; by default a bar is shown.
        models: Models that this process has loaded already.
        judges: Judges that this process has loaded already.
        edits_first: Make every edit in this process before any picture is drawn, and raise what a method raises; by
            default an edit is made when its pictures are due, and one that cannot be made becomes rows with an error.

    Returns:
        The results file and its rows.

    Raises:
        BadArgument: A setting is out of range, or another plan is worked on in the folder.
        LedgerError: The store is damaged.
        KeyboardInterrupt: Also for a SIGTERM.
    """
    if workers < 1 or (threads is not None and threads < 1):
        raise BadArgument(f"workers is {workers} and threads {threads}: give 1 or more of each.")
    if address is not None and backend != "ray":
        raise BadArgument(f"The backend {backend} has no address: give it with the backend ray.")
    with sigterm_interrupts(), store.at_work(plan):
        settled = store.begin(plan, threads, torch.get_num_threads())

        def work() -> None:
            if edits_first:
                with using_threads(settled):
                    Worker(plan, store, models=models, strict=True, progress=progress).make_edits()
            if backend == "ray":
                run_on_ray(plan, store, workers, address, progress)
            elif workers > 1:
                run_processes(plan, store, workers, progress)
            else:
                with using_threads(settled):
                    Worker(plan, store, models=models, judges=judges, progress=progress).run()

        return until_whole(work, lambda: compact(plan, store))
