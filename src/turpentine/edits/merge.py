"""Several edits as one: the tensors that they change together, with the provenance of each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from turpentine.core.errors import EditError, WrongBase
from turpentine.edits.operators import Scalable
from turpentine.edits.places import EDIT_FILE
from turpentine.edits.provenance import Provenance
from turpentine.edits.zeroed import Zeroed

MERGED = "merged"
"""The method in the provenance of a merged edit."""


Summand = TypeVar("Summand", bound="Mergeable")


class Mergeable(Scalable):
    """An edit as a summand; `Edit` has the rest.

    Example:
        >>> one, other = (UCE()(model, Concept(text)) for text in ("church", "dog"))
        >>> both = one + 0.5 * other
        >>> both.title, both.strength
        ('merged of church, dog', 1.0)
        >>> with both.on(model):
        ...     together = model.parameter(both.names[0]).clone()
        >>> with one.on(model), (0.5 * other).on(model):
        ...     torch.allclose(model.parameter(both.names[0]), together)
        True
    """

    file_name: ClassVar[str] = EDIT_FILE
    strength: float
    deltas: Mapping[str, Tensor]
    zeroed: Mapping[str, Zeroed]

    @property
    @abstractmethod
    def id(self) -> str:
        """SHA-256, in hex, of the tensors, the strength and the base."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Dotted names of the parameters that it changes."""

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a parameter that it changes."""

    @abstractmethod
    def count(self, name: str) -> int:
        """Return how many weights of a parameter it may change."""

    def __add__(self: Summand, other: object) -> Summand:
        """Return both as one edit, as `merge` does; `sum(edits)` works too."""
        return self.merge([self, other]) if isinstance(other, type(self)) else self if other == 0 else NotImplemented

    __radd__ = __add__

    def __sub__(self: Summand, other: object) -> Summand:
        return self + -other if isinstance(other, type(self)) else NotImplemented

    @classmethod
    def merge(cls: type[Summand], edits: Sequence[Summand]) -> Summand:
        """Return one edit that does what several do on top of each other, such as to save them in one file.

        Its ΔW are the sums of theirs, each times its strength; its own strength is 1, and scales all of them.

        Args:
            edits: From the one that goes on first, of one model.

        Raises:
            EditError: There is none; or one zeroes weights at another strength than 1, or a later one changes weights
                that an earlier one zeroes, which only edits on top of each other can.
            WrongBase: They are of two models.
        """
        edits = list(edits)
        return edits[0] if len(edits) == 1 else cls(*_merged_parts(edits))  # type: ignore[call-arg]

    def facts(self) -> dict[str, object]:
        """Return what a notebook shows of it beside its title."""
        zeroed = sum(len(each) for each in self.zeroed.values())
        weights = f"{sum(self.count(name) for name in self.names):,}{f', {zeroed:,} of them zeroed' if zeroed else ''}"
        facts: dict[str, object] = {"strength": self.strength, "tensors": len(self.names), "weights": weights}
        return {**facts, "made for": self.provenance.model or "any model that has them", "id": self.id[:12]}


Parts = tuple[dict[str, Tensor], Provenance, float, dict[str, Zeroed]]


def _merged_parts(edits: Sequence[Mergeable]) -> Parts:
    """Return deltas, provenance, strength and zeroed positions of one edit that does what several do.

    Args:
        edits: From the one that goes on first; two or more.

    Raises:
        EditError: There is none; or they zero weights in a way that only a stack of edits can, see `Edit.merge`.
        WrongBase: They are of two models.
    """
    if not edits:
        raise EditError("There is no edit to merge: give one at least.")
    _check_alike(edits)
    deltas: dict[str, Tensor] = {}
    zeroed: dict[str, Zeroed] = {}
    for edit in edits:
        for name in edit.names:
            _check_exact(edit, name, zeroed)
            if name in edit.deltas and edit.strength != 0:
                change = edit.strength * edit.deltas[name]
                deltas[name] = deltas[name] + change if name in deltas else change
            if name in edit.zeroed and edit.strength != 0:
                zeroed[name] = zeroed[name].union(edit.zeroed[name]) if name in zeroed else edit.zeroed[name]
    return deltas or _nothing(edits, zeroed), _provenance(edits), 1.0, zeroed


def _check_alike(edits: Sequence[Mergeable]) -> None:
    bases = {edit.provenance.base: edit for edit in edits if edit.provenance.base}
    if len(bases) > 1:
        one, other, *_ = bases.values()
        raise WrongBase(
            f"{one!r} was made for {_model(one)} and {other!r} for {_model(other)}: merge edits of one model."
        )
    shapes: dict[str, tuple[int, ...]] = {}
    for edit in edits:
        for name in edit.names:
            if shapes.setdefault(name, edit.shape(name)) != edit.shape(name):
                raise WrongBase(f"{name} has two shapes in these edits: {shapes[name]} and {edit.shape(name)}.")


def _check_exact(edit: Mergeable, name: str, zeroed: dict[str, Zeroed]) -> None:
    """Refuse what one edit cannot say: a part of a zeroed weight, or a change on top of one."""
    if name in edit.zeroed and edit.strength not in (0, 1):
        raise EditError(
            f"{edit!r} zeroes weights, and only in full can that be merged: merge it at strength 1, and scale the "
            "merged edit, or put the edits on one after the other."
        )
    if name in edit.deltas and name in zeroed and edit.strength != 0:
        mask = zeroed[name].mask()
        if name in edit.zeroed:
            mask &= ~edit.zeroed[name].mask()
        if edit.deltas[name][mask].any():
            raise EditError(
                f"{edit!r} changes weights of {name} that an edit before it zeroes: merge it before that one, where it "
                "may be overridden, or put the edits on one after the other."
            )


def _nothing(edits: Sequence[Mergeable], zeroed: dict[str, Zeroed]) -> dict[str, Tensor]:
    """Return a delta of zeros where all edits have strength 0: an edit has a tensor at least."""
    return {} if zeroed else {name: torch.zeros(edits[0].shape(name)) for name in edits[0].names}


def _model(edit: Mergeable) -> str:
    return edit.provenance.model or edit.provenance.base[:12]


def _provenance(edits: Sequence[Mergeable]) -> Provenance:
    concepts = tuple(dict.fromkeys(concept for edit in edits for concept in edit.provenance.concepts))
    ids = tuple(edit.id for edit in edits)
    settings: dict[str, Any] = {"edits": ids, "titles": tuple(edit.title for edit in edits)}
    onto = dict.fromkeys(each for edit in edits for each in edit.provenance.onto)
    first = next((edit.provenance for edit in edits if edit.provenance.base), edits[0].provenance)
    return Provenance(
        MERGED, settings, concepts, base=first.base, model=first.model, onto=tuple(id for id in onto if id not in ids)
    )
