"""Which method to take: the measured best for a kind of model and of concept, and when to use each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from turpentine.concepts import Concept, Kind
from turpentine.core.plugins import find
from turpentine.models import is_small

if TYPE_CHECKING:
    from turpentine.models import Model

Scale = Literal["small", "full"]
"""Models of the embedded one's size, and those of Stable Diffusion's."""

Goal = Literal["erase", "amplify"]


@dataclass(frozen=True)
class Best:
    """The method for one kind of concept.

    Attributes:
        name: Of the method.
        reason: What was measured, so that it is this one.
    """

    name: str
    reason: str

    def method(self, model: Model | str | Path) -> Any:
        """Return the method with its defaults for a model."""
        return find(self.name).defaults(model)


ERASERS: Mapping[Scale, Mapping[Kind, Best]] = {
    "small": {},
    "full": {},
}

AMPLIFIER = Best("cad-amplify", "it is the only method that amplifies")

WHEN: Mapping[str, str] = {}


def best_for(model: Model | str | Path, concepts: Sequence[Concept], goal: Goal = "erase") -> Best:
    """Return the measured best method for a model and what is erased or amplified.

    Args:
        model: The model, or its name for `load`; see `turpentine.models.is_small`.
        concepts: One at least; the first one's kind decides.
        goal: Whether they are to be erased or amplified.

    Example:
        >>> best_for("emoji", [Concept("church")]).name
        'uce'
    """
    if goal == "amplify":
        return AMPLIFIER
    return ERASERS["small" if is_small(model) else "full"][concepts[0].kind]
