"""Shared by methods that change no weight: their change is a guidance."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from turpentine.concepts import Concept, Concepts
from turpentine.core.progress import Progress
from turpentine.erase.common import Revised, as_concepts, provenance_of

if TYPE_CHECKING:
    from turpentine.edits import GuidanceChange
    from turpentine.models import Guidance, Model


class AtInference(Revised, ABC):
    """A method whose change is a guidance."""

    def __call__(
        self,
        model: Model,
        concept: Concepts,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> GuidanceChange:
        """Return the guidance that leads away from one concept, or from several at once, as a change to put on the
        model.

        Args:
            model: The model; it is not changed.
            concept: One concept, or several.
            progress: Not used: this takes no time.
            checkpoint: Not used: there is nothing to save.

        Raises:
            BadArgument: A setting is out of range.
            EmptyConcept: There is no concept, or the model has no token for one.
        """
        from turpentine.edits import GuidanceChange

        concepts = as_concepts(concept, model)
        return GuidanceChange(self.guidance(concepts), provenance_of(self, model, concepts))

    @abstractmethod
    def guidance(self, concepts: Sequence[Concept]) -> Guidance:
        """Return the guidance, which is for every model."""


def text_of(text: str | None, concepts: Sequence[Concept]) -> str:
    """Return what a guidance is about: a text that is given, or the first prompt of each concept."""
    return ", ".join(one.prompts[0] for one in concepts) if text is None else text
