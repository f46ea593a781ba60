"""The edits that are on a model: the one place that writes to its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from turpentine.core.errors import EditError, NotFinite, UnknownName, WrongBase
from turpentine.edits.edit import Edit
from turpentine.edits.guidance import guidances_of
from turpentine.models import Model


class EditStack:
    """The edits on one model, in the order in which they were put on.

    A weight is always made anew from the base's, kept aside from the first edit that touches it to the last that does:
    W = cast(W_base + s₁·ΔW₁ + s₂·ΔW₂ + ...), summed in fp32 and in the recorded order. So any edit comes off exactly.
    Where edit k zeroes, ΔW_k is minus the sum before it.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._edits: list[Edit] = []
        self._base: dict[str, Tensor] = {}

    def __iter__(self) -> Iterator[Edit]:
        return iter(tuple(self._edits))

    def __len__(self) -> int:
        return len(self._edits)

    def __contains__(self, edit: object) -> bool:
        return edit in self._edits

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all that is on the model: the edits in order, then the guidances in theirs."""
        return (*(edit.id for edit in self._edits), *(guidance.id for guidance in guidances_of(self._model)))

    def push(self, edit: Edit) -> None:
        """Put one more edit on top; on any error the model is as before. Raises as `Edit.apply` says."""
        if edit in self:
            raise EditError(f"{edit!r} is on this model already: scale it if it should be stronger.")
        _check_base(self._model, edit)
        try:
            self._stash(edit.names)
            self._edits.append(edit)
            self._write(edit.names)
        except BaseException:
            if self._edits and self._edits[-1] is edit:
                self._edits.pop()
            self._restore(edit.names)
            raise

    def pull(self, edit: Edit) -> None:
        """Take one edit out, wherever it is in the stack. Raises EditError if it is not there."""
        self._check_on(edit)
        self._edits.remove(edit)
        self._restore(edit.names)

    def rescale(self, edit: Edit, factor: float) -> Edit:
        """Make one edit `factor` times as strong in its place in the stack, and give it back as it now is.

        On any error the model is as before. Raises EditError if it is not there, or if what comes of it is there too;
        NotFinite as `Edit.apply` says.
        """
        self._check_on(edit)
        scaled, at = edit.scaled(factor), self._edits.index(edit)
        if scaled in self and scaled != edit:
            raise EditError(f"{scaled!r} is on this model already: take it off first.")
        self._edits[at] = scaled
        try:
            self._write(edit.names)
        except BaseException:
            self._edits[at] = edit
            self._write(edit.names)
            raise
        return scaled

    def _check_on(self, edit: Edit) -> None:
        if edit not in self:
            raise EditError(f"{edit!r} is not on this model: there are {len(self)} others.")

    def _stash(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._base:
                self._base[name] = self._model.parameter(name).detach().to("cpu", copy=True)

    def _restore(self, names: Iterable[str]) -> None:
        """Make these weights anew, and forget the base's where no edit touches them any more."""
        stashed = [name for name in names if name in self._base]
        self._write(stashed)
        for name in stashed:
            if not self._touching(name):
                del self._base[name]

    def _touching(self, name: str) -> list[Edit]:
        return [edit for edit in self._edits if name in edit.names]

    @torch.no_grad()
    def _write(self, names: Iterable[str]) -> None:
        for name in names:
            parameter = self._model.parameter(name)
            parameter.copy_(_edited(name, self._base[name].to(parameter), self._touching(name)))


def stack_of(model: Model) -> EditStack:
    """The stack of edits on a model, which is `model.edits`; empty, and made, if none was ever put on."""
    if model.edits is None:
        model.edits = EditStack(model)
    stack: EditStack = model.edits
    return stack


def _edited(name: str, base: Tensor, edits: list[Edit]) -> Tensor:
    """The base's weight with the edits added. At strength 0 nothing is added, so that not even a −0 turns to 0."""
    active = [edit for edit in edits if edit.strength != 0]
    if not active:
        return base
    weight = base.float()
    for edit in active:
        weight = weight.add(edit.change(name, weight), alpha=edit.strength)
    weight = weight.to(base.dtype)
    if not torch.isfinite(weight).all():
        raise NotFinite(f"The edited {name} does not fit into {base.dtype}: load the model in another dtype.")
    return weight


def _check_base(model: Model, edit: Edit) -> None:
    made_for = edit.provenance.base
    base = model.fingerprint  # always asked for here: it is kept, and must be taken before the first edit is on
    if made_for and made_for != base:
        raise WrongBase(
            f"{edit!r} was made for {edit.provenance.model or 'another model'} ({made_for[:12]}) "
            f"and this is {model.name} ({base[:12]}): load the model that it was made for."
        )
    for name in edit.names:
        _check_tensor(model, name, edit.shape(name))


def _check_tensor(model: Model, name: str, expected: tuple[int, ...]) -> None:
    try:
        shape = tuple(model.parameter(name).shape)
    except UnknownName as error:
        raise WrongBase(f"The edit changes {name}, and the model {model.name} has no such weight.") from error
    if shape != expected:
        raise WrongBase(f"The edit's {name} has the shape {expected} and the model's {shape}.")
