"""What edits and guidances have in common as values: they are scaled by `*`, reversed by `-`, and show themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, TypeVar

from turpentine.core import notebook
from turpentine.core.errors import EditError
from turpentine.core.formatting import two_digits

if TYPE_CHECKING:
    from turpentine.edits.provenance import Provenance
    from turpentine.models import Model


AnyChange = TypeVar("AnyChange", bound="Scalable")


class Scalable(ABC):
    """A change to a model that has a strength.

    Attributes:
        provenance: How it was made.
        strength: 1 is the change as made, 0 leaves the model as it is.

    Example:
        >>> edit = UCE()(model, Concept("church"))
        >>> (0.5 * edit).strength, (-edit).strength, edit * 2 / 2 == edit
        (0.5, -1.0, True)
    """

    provenance: Provenance
    strength: float

    @abstractmethod
    def scaled(self: AnyChange, factor: float) -> AnyChange:
        """Return the same change, `factor` times as strong."""

    @abstractmethod
    def remove(self, model: Model) -> None:
        """Take it off a model."""

    @abstractmethod
    def facts(self) -> Mapping[str, object]:
        """Return what a notebook shows of it beside its title."""

    @property
    def title(self) -> str:
        """What made it, of what, and its strength where that is not 1: `UCE (2025) of church × 0.5`."""
        concepts = ", ".join(concept.text for concept in self.provenance.concepts) or "no concept"
        strength = "" if self.strength == 1 else f" × {two_digits(self.strength)}"
        return f"{self.provenance.title} of {concepts}{strength}"

    def __mul__(self: AnyChange, factor: object) -> AnyChange:
        if not isinstance(factor, Real) or isinstance(factor, bool):
            return NotImplemented
        return self.scaled(float(factor))

    __rmul__ = __mul__

    def __truediv__(self: AnyChange, divisor: object) -> AnyChange:
        if not isinstance(divisor, Real) or isinstance(divisor, bool):
            return NotImplemented
        if divisor == 0:
            raise EditError(f"{self!r} cannot be divided by 0: give another number.")
        return self.scaled(1 / float(divisor))

    def __neg__(self: AnyChange) -> AnyChange:
        return self.scaled(-1.0)

    def __pos__(self: AnyChange) -> AnyChange:
        return self

    def unload(self, model: Model | None = None) -> None:
        """Take it off a model, or off all models that it is on; nothing happens where it is on none.

        Args:
            model: One model; all of this process by default.
        """
        from turpentine.models.model import living

        for each in [model] if model is not None else living():
            if self in each.changes:
                self.remove(each)

    def _repr_html_(self) -> str:
        settings = {name: value for name, value in self.provenance.settings.items() if value not in (None, "", ())}
        opened = notebook.folded("settings", notebook.facts(settings)) if settings else ""
        return notebook.box(self.title, notebook.facts(self.facts()), opened, note=type(self).__name__)
