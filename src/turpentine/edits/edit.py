"""Edits of a model's weights as values, and the stack of edits on a model, which alone writes to its weights."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from turpentine.core.errors import EditError, NotFinite, UnknownName, WrongBase
from turpentine.core.formatting import counted
from turpentine.core.hashing import digest, digest_tensor
from turpentine.core.model_argument import check_is_model
from turpentine.core.safe_text import one_line
from turpentine.core.sealed import is_json, read_sealed, write_sealed
from turpentine.core.signals import Reverted
from turpentine.edits.changing import changing
from turpentine.edits.edit_file import content_digest, packed, unpacked, zeroed_key
from turpentine.edits.guidance_change import guidances_of, no_edit
from turpentine.edits.merge import Mergeable
from turpentine.edits.operators import check_factor
from turpentine.edits.provenance import Provenance
from turpentine.edits.signature import Signature
from turpentine.edits.signed import Signed
from turpentine.edits.zeroed import Zeroed
from turpentine.models import Model


@dataclass(frozen=True, eq=False)
class Edit(Mergeable, Signed):
    """The tensors in which an edited model differs from its base, W_edited = W + strength·ΔW, and their provenance.

    Two edits are equal if their tensors, strength and base are.

    Args:
        deltas: ΔW by the parameter's dotted name, with the component first; fp32 on the CPU.
        provenance: How the edit was made.
        strength: 1 is the edit as made; 0 leaves every bit of the model as it is; a negative one reverses the edit.
        zeroed: Positions by the parameter's dotted name where W_edited = (1 − strength)·W. W is the weight as the edits
            below this one leave it, so two edits may zero the same position. They override ΔW where both are given.
        signature: Of all the above; see `sign`.

    Raises:
        EditError: There is no tensor, or one has two shapes.
        NotFinite: The strength or a tensor holds NaN or infinity; the message names the tensor.

    Example:
        >>> edit = Edit({"unet.conv_in.bias": torch.ones(8)})
        >>> base = model.parameter("unet.conv_in.bias").detach().clone()
        >>> with edit.scaled(0.5).on(model):
        ...     torch.equal(model.parameter("unet.conv_in.bias"), base + 0.5)
        True
        >>> torch.equal(model.parameter("unet.conv_in.bias"), base)
        True
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     edit.save(f"{folder}/ones.safetensors")
        ...     Edit.load(f"{folder}/ones.safetensors") == edit
        True
    """

    deltas: Mapping[str, Tensor] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    strength: float = 1.0
    zeroed: Mapping[str, Zeroed] = field(default_factory=dict)
    signature: Signature | None = None

    def __post_init__(self) -> None:
        if not self.names:
            raise EditError("An edit needs at least one tensor that differs, and this one has none.")
        if not math.isfinite(self.strength):
            raise NotFinite(f"An edit cannot have the strength {self.strength}: give a finite number.")
        deltas = {name: _as_delta(name, tensor) for name, tensor in self.deltas.items()}
        object.__setattr__(self, "deltas", deltas)
        for name, zeroed in self.zeroed.items():
            if name in deltas and zeroed.shape != tuple(deltas[name].shape):
                raise EditError(f"{name} has two shapes in one edit: {tuple(deltas[name].shape)} and {zeroed.shape}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Dotted names of the parameters that it changes."""
        return tuple(dict.fromkeys([*self.deltas, *self.zeroed]))

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a parameter that it changes."""
        return tuple(self.deltas[name].shape) if name in self.deltas else self.zeroed[name].shape

    def count(self, name: str) -> int:
        """Return how many weights of a parameter it may change: all of them, or the zeroed ones if there is no ΔW."""
        return self.deltas[name].numel() if name in self.deltas else len(self.zeroed[name])

    def delta(self, name: str, weight: Tensor) -> Tensor:
        """Return ΔW of one parameter at strength 1, in fp32 on the weight's device.

        Args:
            name: Dotted name of the parameter.
            weight: W as the edits below leave it. ΔW is −W at the zeroed positions; W's values matter nowhere else.
        """
        if name not in self.zeroed:
            return self.deltas[name].to(weight.device)
        # −0 is the one number that leaves every other as it is when added, −0 among them.
        delta = self.deltas.get(name, torch.tensor(-0.0)).to(weight.device).expand(weight.shape)
        return self.zeroed[name].cancel(delta, weight)

    @cached_property
    def id(self) -> str:
        """SHA-256, in hex, of the tensors, the strength and the base: equal edits have equal ids."""
        digests = {name: digest_tensor(tensor) for name, tensor in self.deltas.items()}
        digests |= {zeroed_key(name): zeroed.digest() for name, zeroed in self.zeroed.items()}
        return digest([self.provenance.base, float(self.strength), digests])

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Edit) and self.id == other.id)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        concepts = ", ".join(concept.text for concept in self.provenance.concepts) or "no concept"
        count = sum(self.count(name) for name in self.names)
        what = f"{self.provenance.title} of {concepts}, strength {self.strength:g}"
        zeroed = ", zeroed" if not self.deltas else ""
        return f"Edit({what}: {len(self.names)} tensors, {count:,} weights{zeroed}, id {self.id[:12]})"

    def scaled(self, factor: float) -> Edit:
        """Return the same edit, `factor` times as strong; a signature is of one strength.

        Raises:
            BadArgument: The factor is no number.
            NotFinite: The strength would be NaN or infinite.
        """
        check_factor(factor)
        signature = self.signature if factor == 1 else None
        return replace(self, strength=self.strength * factor, signature=signature)

    def apply(self, model: Model) -> Edit:
        """Put the edit on a model, on top of the edits already on it, and return it.

        On any error the model is left as it was.

        Raises:
            WrongBase: It was made for another model.
            EditError: It is on the model already.
            UnsupportedModel: Something on the model hides its weights, such as a LoRA of PEFT's.
            NotFinite: A weight would overflow the model's number format.
        """
        stack_of(model).push(self)
        return self

    def remove(self, model: Model) -> None:
        """Take the edit off, whatever was put on since. Without edits the weights are the base's, bit by bit.

        Raises:
            EditError: It is not on the model.
        """
        stack_of(model).remove(self)

    def on(self, model: Model) -> AbstractContextManager[Model]:
        """Put the edit on the model for a `with` block; it comes off at the end, also after an error or Ctrl-C."""
        return Reverted(model, lambda: self.apply(model), lambda: stack_of(model).discard(self))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, whole or not at all; the same edit is always the same bytes."""
        tensors, record = packed(self)
        if self.signature is not None:
            record["signature"] = self.signature.to_json()
        write_sealed(path, tensors, record, "edit")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Edit:
        """Read an edit that `save` wrote and check every byte of it.

        Whether it is who says so that made it, only `verify` tells.

        Raises:
            EditError: The file is missing, foreign, truncated or altered, or holds a guidance; the message names the
                file and the tensor.
            NotFinite: A tensor or the strength is NaN or infinite.
        """
        if os.path.isfile(path) and is_json(path):
            raise EditError(no_edit(Path(path)))
        tensors, record = read_sealed(path, "edit")
        fields = unpacked(Path(path), tensors, record)
        try:
            return cls(**fields)
        except (EditError, NotFinite) as error:
            raise type(error)(f"{one_line(str(path))}: {error}") from error

    def signed_digest(self) -> str:
        """Return the SHA-256 of tensors, strength and provenance, as the file holds them."""
        return content_digest(self)


class EditStack:
    """The edits on one model, in the order in which they were put on; see `stack_of`.

    A weight is always computed anew from the base's, which is kept aside from the first edit that touches it to the
    last: W = cast(W_base + s₁·ΔW₁ + s₂·ΔW₂ + ...), summed in fp32 and in the recorded order. So any edit comes off
    exactly. Where edit k zeroes a position, ΔW_k is minus the sum before it.

    Each change is whole: Ctrl-C and other signals wait until it is over, and of several threads one changes at a time.
    What another thread computes with the model meanwhile is its own affair: a model draws for one thread at a time.

    Example:
        >>> ones, twos = (Edit({"unet.conv_in.bias": n * torch.ones(8)}) for n in (1, 2))
        >>> with ones.on(model), twos.on(model):
        ...     list(stack_of(model)) == [ones, twos]
        True
        >>> len(stack_of(model))
        0
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
    def touched(self) -> Collection[str]:
        """Names of the weights that are not the base's own now."""
        return self._base.keys()

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all changes on the model: the edits in order, then the guidances in order."""
        return (*(edit.id for edit in self._edits), *(guidance.id for guidance in guidances_of(self._model)))

    @changing()
    def push(self, edit: Edit) -> None:
        """Put an edit on top; on any error the model is left as it was. Raises what `Edit.apply` raises."""
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

    @changing()
    def remove(self, edit: Edit) -> None:
        """Take one edit off, wherever it is in the stack.

        Raises:
            EditError: It is not on the model.
        """
        self._check_on(edit)
        self._edits.remove(edit)
        self._restore(edit.names)

    @changing()
    def discard(self, edit: Edit) -> None:
        """Take one edit off, if it is on the model."""
        if edit in self:
            self.remove(edit)

    @changing()
    def rescale(self, edit: Edit, factor: float) -> Edit:
        """Make one edit `factor` times as strong in its place in the stack, and return the scaled edit.

        On any error the model is left as it was.

        Raises:
            EditError: The edit is not on the model, or the scaled one is on it too.
            NotFinite: A weight would overflow the model's number format.
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
            raise EditError(f"{edit!r} is not on this model, which has {counted(len(self), 'edit')} on it.")

    def _stash(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._base:
                self._base[name] = self._model.parameter(name).detach().to("cpu", copy=True)

    def _restore(self, names: Iterable[str]) -> None:
        """Compute these weights anew, and drop the base's copy where no edit touches them any more."""
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
    """Return the stack of edits on a model, which is `model.edits`, creating it if there is none."""
    check_is_model(model)
    with changing():
        if model.edits is None:
            model.edits = EditStack(model)
    stack: EditStack = model.edits
    return stack


def _edited(name: str, base: Tensor, edits: list[Edit]) -> Tensor:
    """Return the base's weight plus the edits. At strength 0 nothing is added, so that not even a −0 turns to 0."""
    active = [edit for edit in edits if edit.strength != 0]
    if not active:
        return base
    weight = base.float()
    for edit in active:
        weight = weight.add(edit.delta(name, weight), alpha=edit.strength)
    weight = weight.to(base.dtype)
    if not torch.isfinite(weight).all():
        raise NotFinite(f"The edited {name} does not fit into {base.dtype}: load the model in another dtype.")
    return weight


def _check_base(model: Model, edit: Edit) -> None:
    model.family.check(hooks=False)
    expected = edit.provenance.base
    base = model.fingerprint  # always computed here: it is cached, and must be taken before the first edit is on
    if expected and expected != base:
        raise WrongBase(
            f"{edit!r} was made for {edit.provenance.model or 'another model'} ({expected[:12]}) "
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


def _as_delta(name: str, tensor: Tensor) -> Tensor:
    delta = tensor.detach().to("cpu", torch.float32).contiguous()
    if not torch.isfinite(delta).all():
        raise NotFinite(f"The change of {name} holds NaN or infinity, and no edit may.")
    return delta
