"""What is in the file of an edit: the tensors and the record that an edit becomes, and an edit's fields of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from turpentine.core.errors import EditError, TurpentineError
from turpentine.core.hashing import digest, digest_tensor
from turpentine.core.safe_text import one_line
from turpentine.edits.provenance import Provenance, read_strength
from turpentine.edits.signature import Signature
from turpentine.edits.zeroed import Zeroed

if TYPE_CHECKING:
    from turpentine.edits.edit import Edit

_FORMATS = (torch.float16, torch.float32)
_MOST_WEIGHTS = 2**62


def packed(edit: Edit) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the record of an edit's file, without a signature.

    Tensors that fp16 holds exactly are in fp16; zeroed positions take a byte or two each.
    """
    tensors = {name: _compact(delta) for name, delta in edit.deltas.items()}
    tensors |= {zeroed_key(name): zeroed.pack() for name, zeroed in edit.zeroed.items()}
    shapes = {name: zeroed.shape for name, zeroed in edit.zeroed.items()}
    return tensors, {"strength": float(edit.strength), "provenance": edit.provenance.to_json(), "zeroed": shapes}


def content_digest(edit: Edit) -> str:
    """Return the SHA-256, in hex, of all that an edit's file holds but its signature: what is signed."""
    tensors, record = packed(edit)
    return digest(["turpentine edit", record, {name: digest_tensor(tensor) for name, tensor in tensors.items()}])


def unpacked(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an edit by its file's tensors and record, whoever wrote them.

    Raises:
        TurpentineError: They are none that an edit has; the message names the file and what is wrong.
    """
    try:
        return _fields(tensors, record)
    except TurpentineError as error:
        raise type(error)(f"{_unreadable(path)}: {error}") from error
    except KeyError as error:
        raise EditError(f"{_unreadable(path)}: its record lacks {error}.") from error
    except (TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise EditError(f"{_unreadable(path)}: its record holds {one_line(str(error))}.") from error


def zeroed_key(name: str) -> str:
    """Return the name of a weight's positions in a file, where the weight may have a delta too."""
    return f"zeroed/{name}"


def _unreadable(path: Path) -> str:
    return f"{one_line(str(path))} is not an edit that this Turpentine can read"


def _fields(tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> dict[str, Any]:
    strength, provenance = read_strength(record["strength"]), Provenance.from_json(record["provenance"])
    shapes, signed = record.get("zeroed", {}), record.get("signature")
    for key in sorted(record.keys() - {"strength", "provenance", "zeroed", "signature"}):
        raise EditError(f"its record holds {one_line(key)!r}, which no edit has.")
    deltas = dict(tensors)
    zeroed = {name: _zeroed(name, shape, deltas.pop(zeroed_key(name), None)) for name, shape in shapes.items()}
    for name, tensor in deltas.items():
        if tensor.dtype not in _FORMATS:
            raise EditError(f"its tensor {one_line(name)} holds {tensor.dtype}, and edits hold fp16 and fp32.")
    signature = None if signed is None else Signature.from_json(signed)
    return {
        "deltas": deltas,
        "provenance": provenance,
        "strength": strength,
        "zeroed": zeroed,
        "signature": signature,
    }


def _zeroed(name: str, shape: Any, positions: Tensor | None) -> Zeroed:
    """Return the zeroed positions of a weight, where shape and bytes can be such."""
    is_shape = isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape)
    if not is_shape or math.prod(shape) > _MOST_WEIGHTS:
        raise EditError(f"no weight has the shape that it gives for {one_line(name)}.")
    if positions is None or positions.dtype != torch.uint8 or positions.dim() != 1:
        raise EditError(f"it holds no positions for {one_line(name)}.")
    try:
        return Zeroed.unpack(positions, tuple(shape))
    except EditError as error:
        raise EditError(f"at {one_line(name)}: {error}") from error


def _compact(delta: Tensor) -> Tensor:
    half = delta.half()
    return half if torch.equal(half.float(), delta) else delta
