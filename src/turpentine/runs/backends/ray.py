"""Workers on a Ray cluster: actors that hold the model and run the same loop over the same store."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from turpentine.core.errors import BadArgument
from turpentine.core.library_errors import first_line
from turpentine.core.telemetry import switch_off
from turpentine.runs.backends.guardian import guarded
from turpentine.runs.backends.process import report_progress, worker
from turpentine.runs.plan import Plan
from turpentine.runs.store import Store
from turpentine.runs.worker import PhaseProgress

# Seconds between two looks at the store.
_LOOK = 1.0

# Of an actor whose process is lost; what ends it again and again becomes a row with an error long before.
_RESTARTS = 100


def run_on_ray(plan: Plan, store: Store, workers: int, address: str | None, progress: PhaseProgress | None) -> None:
    """Run workers on a cluster until all is done; one that is lost, with its node, is started again on another.

    Without RAY_AUTH_MODE in the environment the cluster wants a token.

    Args:
        plan: The work.
        store: Its folder must be one that all nodes share.
        workers: How many.
        address: Of a running cluster; by default a new one is started on this machine.
        progress: Called as `progress(phase, done, total)`.

    Raises:
        BadArgument: Ray is missing or the cluster cannot be joined; errors of workers are raised too.
    """
    with _cluster(address) as ray:
        actor = _actor(ray)
        actors = [actor.remote() for _ in range(workers)]  # they live as long as they are named
        running = [each.work.remote(store.folder.absolute()) for each in actors]
        while running and store.missing(plan):
            ended, running = ray.wait(running, timeout=_LOOK)
            _raise_failure(ray, ended)
            if progress:
                report_progress(plan, store, progress)


class Joined:
    """A worker as an actor."""

    def work(self, folder: Path) -> None:
        """Work on a store until all is done, by whoever."""
        worker(folder)


def _actor(ray: Any) -> Any:
    """Return the actor, on a GPU if the cluster has any; actors are spread over the nodes."""
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    where = {"num_cpus": 1, "num_gpus": gpus, "scheduling_strategy": "SPREAD"}
    return ray.remote(max_restarts=_RESTARTS, max_task_retries=-1, **where)(Joined)


def _raise_failure(ray: Any, ended: list[Any]) -> None:
    """Pass on the error of a worker as the worker raised it."""
    try:
        ray.get(ended)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Join a cluster inside a `with` block."""
    ray = _ray()
    # A cluster of our own is for this machine alone.
    where = {"address": address} if address else {"address": "local", "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **where)
    except Exception as error:  # Ray raises that class itself where its parts do not start in time
        reason = first_line(error).rstrip(".")
        raise BadArgument(
            f"The Ray cluster at {address or 'this machine'} cannot be joined ({reason}): check that it runs, or leave "
            "out the backend ray."
        ) from error
    try:
        # Ray's own helpers outlive a command that is killed outright by a minute.
        with nullcontext() if address else guarded(ray.get_runtime_context().get_session_name()):
            yield ray
    finally:
        ray.shutdown()


def _ray() -> Any:
    switch_off()
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # which Ray reads when it is imported
    try:
        import ray
    except ImportError as error:
        raise BadArgument("The backend ray needs Ray: pip install 'turpentine[ray]'.") from error
    return ray
