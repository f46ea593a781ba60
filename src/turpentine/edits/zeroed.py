"""Which positions of a weight are set to 0, in a byte or two for each.

Neither safetensors nor numpy has numbers of variable length, and as int32 a file would be two to four times as large.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64, Shaped, UInt8
from torch import Tensor

from turpentine.core.errors import EditError

_BITS = 7  # of a number in each of its bytes; the eighth says that more follow


@dataclass(frozen=True, eq=False)
class Zeroed:
    """Positions of one weight that an edit sets to 0.

    shape: the weight's. positions: indices into the flattened weight, ascending, each once; int64 on the CPU.
    Who has them knows which weights a concept rested on: they say as much about it as any delta does.
    Raises EditError for no position, or for positions that are out of order or outside of the weight.
    """

    shape: tuple[int, ...]
    positions: Int64[Tensor, " position"]

    def __post_init__(self) -> None:
        positions = self.positions.detach().to("cpu", torch.int64).contiguous()
        object.__setattr__(self, "positions", positions)
        if not len(positions):
            raise EditError("A weight of which no position is zeroed is not changed: leave it out of the edit.")
        is_ascending = bool((positions.diff() > 0).all())
        if not is_ascending or positions[0] < 0 or positions[-1] >= math.prod(self.shape):
            raise EditError(f"The zeroed positions do not ascend inside a weight of the shape {self.shape}.")

    @staticmethod
    def of(mask: Bool[Tensor, "*shape"]) -> Zeroed:
        """The positions where a mask of the weight's shape is true."""
        return Zeroed(tuple(mask.shape), mask.flatten().nonzero().flatten())

    def __len__(self) -> int:
        return len(self.positions)

    def mask(self) -> Bool[Tensor, "*shape"]:
        """True at the zeroed positions."""
        mask = torch.zeros(math.prod(self.shape), dtype=torch.bool)
        mask[self.positions] = True
        return mask.reshape(self.shape)

    def away(self, change: Shaped[Tensor, "*shape"], weight: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """The change with −W at the zeroed positions, which added to W leaves 0 there."""
        at = self.positions.to(change.device)
        return change.flatten().index_copy(0, at, -weight.flatten()[at].to(change.dtype)).reshape(self.shape)

    def packed(self) -> UInt8[Tensor, " byte"]:
        """Each position's distance to the one before, as a number of one byte or more (LEB128); exact."""
        return torch.from_numpy(_packed(np.diff(self.positions.numpy(), prepend=0)))

    @staticmethod
    def unpacked(packed: UInt8[Tensor, " byte"], shape: tuple[int, ...]) -> Zeroed:
        """The inverse of `packed`. Raises EditError where the bytes are no positions of such a weight."""
        return Zeroed(shape, torch.from_numpy(np.cumsum(_unpacked(packed.numpy()))))

    def digest(self) -> str:
        """SHA-256, in hex, over shape and positions."""
        return hashlib.sha256(f"zeroed {self.shape} ".encode() + self.positions.numpy().tobytes()).hexdigest()


def _packed(numbers: Int[np.ndarray, " number"]) -> UInt8[np.ndarray, " byte"]:
    """Whole numbers from 0, lowest seven bits first."""
    lengths = np.ones(len(numbers), dtype=np.int64)
    while (longer := numbers >> (_BITS * lengths) > 0).any():
        lengths += longer
    number = np.repeat(np.arange(len(numbers)), lengths)
    place = np.arange(len(number)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    more = place + 1 < lengths[number]
    return ((numbers[number] >> (_BITS * place) & 0x7F) | more << _BITS).astype(np.uint8)


def _unpacked(packed: UInt8[np.ndarray, " byte"]) -> Int64[np.ndarray, " number"]:
    ends = np.flatnonzero(packed < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not len(ends) or ends[-1] != len(packed) - 1 or (ends - starts).max() >= 64 // _BITS:
        raise EditError("The bytes of the zeroed positions do not end where a number does.")
    place = np.arange(len(packed)) - np.repeat(starts, ends + 1 - starts)
    return np.add.reduceat((packed & 0x7F).astype(np.int64) << (_BITS * place), starts)
