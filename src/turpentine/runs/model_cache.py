"""The one model that a worker has in memory, and the change that is on it."""

from __future__ import annotations

from collections.abc import Mapping

from turpentine.core.errors import BadArgument
from turpentine.edits import Change
from turpentine.models import Model, load
from turpentine.models.identity import describe
from turpentine.runs.specs import ModelSpec


class ModelCache:
    """Keeps one loaded model with at most one change on it, and switches either only when another is needed.

    Args:
        given: Models that are loaded already; they are not dropped.
    """

    def __init__(self, given: Mapping[ModelSpec, Model] | None = None) -> None:
        self._given = dict(given or {})
        self._loaded: tuple[ModelSpec, Model] | None = None
        self._on: tuple[str, Change, Model] | None = None

    def model(self, source: ModelSpec) -> Model:
        """Return the model of a source, loaded if need be, with whatever is on it now.

        Args:
            source: Of the plan.

        Raises:
            BadArgument: It is another model than when the plan was made, or had edits, which no name can load.
            ModelNotFound: There is no such model.
        """
        if source in self._given:
            return self._given[source]
        if self._loaded is None or self._loaded[0] != source:
            self.clear()
            self._loaded = None  # before the next one is read: two may not fit
            self._loaded = (source, _load(source))
        return self._loaded[1]

    def has_on(self, key: str) -> bool:
        """Return whether the change of this key is on the model."""
        return self._on is not None and self._on[0] == key

    def apply(self, model: Model, key: str, change: Change) -> None:
        """Put a change on the model, in the place of another one.

        Args:
            model: From `model`.
            key: Of the change.
            change: An edit or a change of the guidance.

        Raises:
            EditError: The change does not fit the model.
        """
        self.clear()
        change.apply(model)
        self._on = (key, change, model)

    def clear(self) -> None:
        """Take the change off."""
        if self._on:
            _, change, model = self._on
            self._on = None
            change.remove(model)


def _load(source: ModelSpec) -> Model:
    changes = source.model["changes"]
    if changes:
        raise BadArgument(
            f"The model {source.load} had {len(changes)} edits on it when the bench was planned, which a worker "
            "cannot put on: save the edited model, and plan the bench with that."
        )
    device = source.device or source.model["device"]
    model = load(source.load, device=device, dtype=source.dtype, **source.options)
    now = describe(model)
    differing = sorted(name for name in {*now, *source.model} if now.get(name) != source.model.get(name))
    if differing:
        raise BadArgument(
            f"The model {source.load} is another one now than when the bench was planned, by its "
            f"{' and '.join(differing)}: put the old one back, or choose another folder for the new one's bench."
        )
    return model
