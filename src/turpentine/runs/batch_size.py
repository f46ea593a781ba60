"""How many pictures are drawn at once: as many as fit into the free memory, settled once for a folder."""

from __future__ import annotations

from dataclasses import replace

from turpentine.models import Model
from turpentine.models.loading.memory import free_memory
from turpentine.models.row_memory import bytes_a_row, rows_that_fit
from turpentine.runs.protocol import MOST_AT_ONCE, Protocol
from turpentine.runs.specs import ModelSpec
from turpentine.runs.store import PLAN, Store

ROWS = 2
"""Rows of the denoiser that a picture takes with guidance."""


def settled(protocol: Protocol, model: Model, source: ModelSpec, store: Store, workers: int = 1) -> Protocol:
    """Return a protocol that says how many pictures are drawn at once.

    What is given stays. Else it is what the folder was begun with for this model, since the last bits of a picture hang
    on it and parts that are done are known by it; in a new folder what fits, by counting what a row takes.

    Args:
        protocol: That may leave it open.
        model: The model, loaded.
        source: The same as a value.
        store: Of the pictures; its plan holds what was settled.
        workers: Processes that share the main memory.

    Raises:
        LedgerError: The store's plan is damaged.
    """
    if protocol.batch_size is not None:
        return protocol
    return replace(protocol, batch_size=_begun(source, store) or _fitting(protocol, model, workers))


def _begun(source: ModelSpec, store: Store) -> int | None:
    """Return how many pictures of a model are drawn at once in a folder that was begun."""
    if not (store.folder / PLAN).exists():
        return None
    plan, _ = store.planned()
    return next((line.protocol.at_once for line in plan.conditions if line.source == source), None)


def _fitting(protocol: Protocol, model: Model, workers: int) -> int:
    """Return how many pictures fit; autoencoders decode a few at a time whatever it is."""
    free = free_memory(model.device) // (workers if model.device.type == "cpu" else 1)
    return rows_that_fit(ROWS * bytes_a_row(model, protocol.size), free, MOST_AT_ONCE)
