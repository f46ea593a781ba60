"""A change to a model's weights, as a value."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from turpentine.core.errors import EditError, NotFinite
from turpentine.core.hashing import digest, digest_tensor
from turpentine.core.sealed import read_sealed, write_sealed
from turpentine.edits.provenance import Provenance
from turpentine.edits.zeroed import Zeroed
from turpentine.models import Model


@dataclass(frozen=True, eq=False)
class Edit:
    """The tensors in which an edited model differs from its base, W_edited = W + strength·ΔW, and where they came from.

    deltas: ΔW by the parameter's dotted name, such as `unet.mid_block....attn2.to_k.weight`; kept in fp32 on the CPU.
    provenance: what made it, of what, on what.
    strength: 1 is the edit as it was made; 0 leaves every bit of the model as it is; negative turns it round.
    zeroed: positions by the parameter's dotted name where W_edited = (1 − strength)·W. W is the weight as the edits
        below this one leave it, so that two edits may zero the same position. Where a weight has both, they outdo ΔW.

    Two edits are equal if their tensors, strength and base are. Raises EditError if there is no tensor, or if one has
    two shapes; NotFinite for a NaN or an infinity, naming the tensor.
    """

    deltas: Mapping[str, Tensor] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    strength: float = 1.0
    zeroed: Mapping[str, Zeroed] = field(default_factory=dict)

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
        """The dotted names of the parameters that it changes."""
        return tuple(dict.fromkeys([*self.deltas, *self.zeroed]))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a parameter that it changes."""
        return tuple(self.deltas[name].shape) if name in self.deltas else self.zeroed[name].shape

    def count(self, name: str) -> int:
        """How many single weights of a parameter it may change: all that ΔW is given for, or the zeroed ones."""
        return self.deltas[name].numel() if name in self.deltas else len(self.zeroed[name])

    def change(self, name: str, base_weight: Tensor) -> Tensor:
        """ΔW of one parameter at strength 1, in fp32 on the weight's device: what is added to `base_weight`.

        base_weight: W, of which −W is the change at the zeroed positions; its values count nowhere else.
        """
        if name not in self.zeroed:
            return self.deltas[name].to(base_weight.device)
        # −0 is the one number that leaves every other as it is when added, −0 among them.
        delta = self.deltas.get(name, torch.tensor(-0.0)).to(base_weight.device).expand(base_weight.shape)
        return self.zeroed[name].away(delta, base_weight)

    @cached_property
    def id(self) -> str:
        """SHA-256, in hex, over the tensors, the strength and the base: the same change has the same id."""
        digests = {name: digest_tensor(tensor) for name, tensor in self.deltas.items()}
        digests |= {_zeroed_key(name): zeroed.digest() for name, zeroed in self.zeroed.items()}
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
        """The same change, `factor` times as strong."""
        return replace(self, strength=self.strength * factor)

    def apply(self, model: Model) -> Edit:
        """Put the edit on a model, over those that are on it already, and give it back.

        Raises WrongBase for another model than the one it was made for, EditError if it is on already, NotFinite if a
        weight would overflow the model's dtype; the model is then as before.
        """
        _stack(model).push(self)
        return self

    def remove(self, model: Model) -> None:
        """Take the edit off, whatever was put on since. Without edits the weights are the base's, bit by bit.

        Raises EditError if it is not on the model.
        """
        _stack(model).pull(self)

    @contextmanager
    def on(self, model: Model) -> Iterator[Model]:
        """The model with the edit on it inside a `with` block; off again at the end, also after an error."""
        self.apply(model)
        try:
            yield model
        finally:
            if self in _stack(model):
                self.remove(model)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file, whole or not at all.

        Tensors that fp16 holds exactly are written in fp16; zeroed positions take a byte or two each.
        """
        tensors = {name: _compact(delta) for name, delta in self.deltas.items()}
        tensors |= {_zeroed_key(name): zeroed.packed() for name, zeroed in self.zeroed.items()}
        shapes = {name: zeroed.shape for name, zeroed in self.zeroed.items()}
        record = {"strength": self.strength, "provenance": self.provenance.to_json(), "zeroed": shapes}
        write_sealed(path, tensors, record, "edit")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Edit:
        """Read an edit and check every byte of it.

        Raises EditError for a missing, foreign, truncated or altered file, naming the file and the tensor.
        """
        tensors, record = read_sealed(path, "edit")
        strength, provenance, shapes = _read_record(path, record)
        packed = {name: tensors.pop(_zeroed_key(name), torch.empty(0, dtype=torch.uint8)) for name in shapes}
        zeroed = {name: _unpacked(path, name, packed[name], shape) for name, shape in shapes.items()}
        return cls(tensors, provenance, strength, zeroed)


def _stack(model: Model) -> Any:
    from turpentine.edits.stack import stack_of  # which imports this module

    return stack_of(model)


def _as_delta(name: str, tensor: Tensor) -> Tensor:
    delta = tensor.detach().to("cpu", torch.float32).contiguous()
    if not torch.isfinite(delta).all():
        raise NotFinite(f"The change of {name} holds NaN or infinity, and no edit may.")
    return delta


def _compact(delta: Tensor) -> Tensor:
    half = delta.half()
    return half if torch.equal(half.float(), delta) else delta


def _zeroed_key(name: str) -> str:
    """What positions are called in a file, since a weight may have both a delta and these."""
    return f"zeroed/{name}"


def _unpacked(path: str | os.PathLike[str], name: str, packed: Tensor, shape: tuple[int, ...]) -> Zeroed:
    try:
        return Zeroed.unpacked(packed, shape)
    except EditError as error:
        raise EditError(f"{path} is not an edit that this Turpentine can read, at {name}: {error}") from error


def _read_record(
    path: str | os.PathLike[str], record: Mapping[str, Any]
) -> tuple[float, Provenance, dict[str, tuple[int, ...]]]:
    try:
        shapes = {name: tuple(map(int, shape)) for name, shape in record.get("zeroed", {}).items()}
        return float(record["strength"]), Provenance.from_json(record["provenance"]), shapes
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EditError(f"{path} is not an edit that this Turpentine can read: its record lacks {error}.") from error
