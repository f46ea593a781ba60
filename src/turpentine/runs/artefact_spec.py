"""An artefact of an attack as a part of a plan: its file and its id."""

from __future__ import annotations

from dataclasses import dataclass

from turpentine.core.errors import EditError
from turpentine.models import Artefact


@dataclass(frozen=True)
class ArtefactSpec:
    """An artefact as a value: where its file is, and which one that is.

    Attributes:
        path: Of the file.
        id: Of the artefact.
    """

    path: str
    id: str

    @classmethod
    def of(cls, path: str) -> ArtefactSpec:
        """Return the value of an artefact's file.

        Raises:
            EditError: The file is missing, foreign, truncated or altered.
        """
        return cls(path, Artefact.load(path).id)

    def load(self) -> Artefact:
        """Read the artefact.

        Raises:
            EditError: The file is missing or damaged, or holds another artefact than when it was planned.
        """
        artefact = Artefact.load(self.path)
        if artefact.id != self.id:
            raise EditError(f"{self.path} holds another artefact now than when the work was planned: put it back.")
        return artefact
