"""How many pictures are drawn at once: as many as fit into the free memory, settled once for a folder."""

from __future__ import annotations

from dataclasses import replace

from turpentine.models import Model
from turpentine.models.row_memory import pictures_that_fit
from turpentine.runs.protocol import MOST_AT_ONCE, Protocol
from turpentine.runs.specs import ModelSpec
from turpentine.runs.store import PLAN, Store


def settled(protocol: Protocol, model: Model, source: ModelSpec, store: Store | None, workers: int = 1) -> Protocol:
    """Return a protocol that says how many pictures are drawn at once.

    What is given stays. Else it is what the folder was begun with for this model, since the last bits of a picture hang
    on it and parts that are done are known by it; in a new folder what fits, by counting what a row takes.

    Args:
        protocol: That may leave it open.
        model: The model, loaded.
        source: The same as a value.
        store: Of the pictures; its plan holds what was settled. None where that is to be settled anew.
        workers: Processes that share the main memory.

    Raises:
        LedgerError: The store's plan is damaged.
    """
    if protocol.batch_size is not None:
        return protocol
    begun = store and _begun(source, store)
    at_once = begun or pictures_that_fit(model, MOST_AT_ONCE, size=protocol.size, workers=workers)
    return replace(protocol, batch_size=at_once)


def _begun(source: ModelSpec, store: Store) -> int | None:
    """Return how many pictures of a model are drawn at once in a folder that was begun."""
    if not (store.folder / PLAN).exists():
        return None
    plan, _ = store.planned()
    return next((line.protocol.at_once for line in plan.conditions if line.source == source), None)
