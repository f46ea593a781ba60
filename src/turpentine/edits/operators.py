"""What edits and guidances have in common as values: they are scaled by `*`, reversed by `-`, and show themselves."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from turpentine.core import notebook
from turpentine.core.atomic_files import write_text_whole
from turpentine.core.errors import BadArgument, EditError
from turpentine.core.formatting import two_digits
from turpentine.edits.card import change_card
from turpentine.models.loading.hub import fetch_file, is_hub_id
from turpentine.models.saving import CARD

if TYPE_CHECKING:
    from turpentine.edits.provenance import Provenance
    from turpentine.models import Model


AnyChange = TypeVar("AnyChange", bound="Scalable")


def check_factor(factor: object) -> None:
    """Check what a change is scaled by.

    Raises:
        BadArgument: It is no number.
    """
    if not isinstance(factor, Real):
        raise BadArgument(f"A change is scaled by a number, such as 0.5, and not by {factor!r}.")


class Scalable(ABC):
    """A change to a model that has a strength.

    Attributes:
        file_name: Of its file in a folder or in a repository of the hub.
        provenance: How it was made.
        strength: 1 is the change as made, 0 leaves the model as it is.

    Example:
        >>> edit = UCE()(model, Concept("church"))
        >>> (0.5 * edit).strength, (-edit).strength, edit * 2 / 2 == edit
        (0.5, -1.0, True)
    """

    file_name: ClassVar[str]
    provenance: Provenance
    strength: float

    @abstractmethod
    def scaled(self: AnyChange, factor: float) -> AnyChange:
        """Return the same change, `factor` times as strong."""

    @abstractmethod
    def remove(self, model: Model) -> None:
        """Take it off a model."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file, whole or not at all."""

    @classmethod
    @abstractmethod
    def load(cls: type[AnyChange], path: str | os.PathLike[str]) -> AnyChange:
        """Read a file that `save` wrote, and check it."""

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
        from turpentine.models.pretrained import living

        for each in [model] if model is not None else living():
            if self in each.changes:
                self.remove(each)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write its file and a card, `README.md`, into a folder, which is made if it is not there.

        Args:
            folder: Where to; files of these two names are replaced.
        """
        self._save_in(Path(folder), Path(folder).name)

    @classmethod
    def from_pretrained(cls: type[AnyChange], source: str | os.PathLike[str]) -> AnyChange:
        """Read what `save_pretrained` or `push_to_hub` wrote.

        Args:
            source: The folder, or the repository of the hub, such as "me/no-church", from the local cache or the hub.

        Raises:
            EditError: There is none, or it is damaged.
            ModelNotFound: It is neither in the cache nor to be had from the hub.
        """
        if is_hub_id(str(source)):
            return cls.load(fetch_file(str(source), cls.file_name))
        return cls.load(Path(source) / cls.file_name)

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, token: str | None = None, commit_message: str | None = None
    ) -> str:
        """Upload its file and a card to the Hugging Face hub, and return the address there.

        Args:
            repo_id: The repository, such as "me/no-church"; it is created if it is not there.
            private: Is a repository that is created to be seen by its owner only?
            token: Of the hub; by default that of `hf auth login`.
            commit_message: Of the commit.

        Raises:
            BadArgument: That is no name of a repository.
            UploadError: There is no token, no network, or the hub refuses.
        """
        from turpentine.models.publishing import publish

        def write(folder: Path) -> None:
            self._save_in(folder, repo_id)

        return publish(write, repo_id, private=private, token=token, message=commit_message)

    def _save_in(self, folder: Path, place: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.save(folder / self.file_name)
        write_text_whole(folder / CARD, change_card(self, place))

    def _repr_html_(self) -> str:
        settings = {name: value for name, value in self.provenance.settings.items() if value not in (None, "", ())}
        opened = notebook.folded("settings", notebook.facts(settings)) if settings else ""
        return notebook.box(self.title, notebook.facts(self.facts()), opened, note=type(self).__name__)
