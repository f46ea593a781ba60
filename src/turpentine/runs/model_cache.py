"""The one model that a worker has in memory, and the changes that are on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from turpentine.core.errors import BadArgument
from turpentine.edits import Change
from turpentine.models import Model, load
from turpentine.models.identity import describe
from turpentine.runs.specs import ModelSpec


class ModelCache:
    """Keeps one loaded model with the changes of one line on it, and switches either only when another is needed.

    Args:
        given: Models that are loaded already; they are not dropped.
    """

    def __init__(self, given: Mapping[ModelSpec, Model] | None = None) -> None:
        self._given = dict(given or {})
        self._loaded: tuple[ModelSpec, Model] | None = None
        self._on: tuple[str, Model, list[Change]] | None = None

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
        """Return whether the changes of this key are on the model."""
        return self._on is not None and self._on[0] == key

    def apply(self, model: Model, key: str, changes: Sequence[Change]) -> None:
        """Put changes on the model, in the place of others; if one does not fit, none stays on.

        Args:
            model: From `model`.
            key: Of the last change, which says what is below it.
            changes: Edits and changes of the guidance, in their order.

        Raises:
            EditError: A change does not fit the model.
        """
        self.clear()
        on: list[Change] = []
        self._on = ("", model, on)
        try:
            for change in changes:
                on.append(change.apply(model))
        except BaseException:
            self.clear()
            raise
        self._on = (key, model, on)

    def clear(self) -> None:
        """Take the changes off, the last one first."""
        while self._on and self._on[2]:
            self._on[2].pop().remove(self._on[1])
        self._on = None


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
