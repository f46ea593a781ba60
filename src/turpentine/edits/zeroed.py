"""Positions of a weight that an edit sets to 0, stored in a byte or two each.

Neither safetensors nor numpy has numbers of variable length, and as int32 a file would be two to four times as large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64, Shaped, UInt8
from torch import Tensor

from turpentine.core.errors import EditError
from turpentine.core.hashing import digest_bytes

_BITS = 7  # of a number in each of its bytes; the eighth says that more follow


@dataclass(frozen=True, eq=False)
class Zeroed:
    """Positions of one weight that an edit sets to 0.

    The positions reveal which weights encode the concept, just as a delta does.

    Args:
        shape: Shape of the weight.
        positions: Indices into the flattened weight, strictly ascending; int64 on the CPU.

    Raises:
        EditError: There is no position, or the positions are out of order or outside the weight.

    Example:
        >>> zeroed = Zeroed.from_mask(torch.tensor([[True, False], [False, True]]))
        >>> zeroed.positions.tolist(), len(zeroed)
        ([0, 3], 2)
        >>> torch.equal(Zeroed.unpack(zeroed.pack(), zeroed.shape).mask(), zeroed.mask())
        True
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
    def from_mask(mask: Bool[Tensor, "*shape"]) -> Zeroed:
        """Return the positions where a mask of the weight's shape is true."""
        return Zeroed(tuple(mask.shape), mask.flatten().nonzero().flatten())

    def union(self, other: Zeroed) -> Zeroed:
        """Return the positions of this or of another of the same weight."""
        return Zeroed(self.shape, torch.unique(torch.cat([self.positions, other.positions])))

    def __len__(self) -> int:
        return len(self.positions)

    def mask(self) -> Bool[Tensor, "*shape"]:
        """Return a mask of the weight's shape that is true at the zeroed positions."""
        mask = torch.zeros(math.prod(self.shape), dtype=torch.bool)
        mask[self.positions] = True
        return mask.reshape(self.shape)

    def cancel(self, delta: Shaped[Tensor, "*shape"], weight: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return ΔW with −W at the zeroed positions, so that W + ΔW is 0 there."""
        at = self.positions.to(delta.device)
        return delta.flatten().index_copy(0, at, -weight.flatten()[at].to(delta.dtype)).reshape(self.shape)

    def pack(self) -> UInt8[Tensor, " byte"]:
        """Encode the distances between neighbouring positions in one byte or more each (LEB128), without loss."""
        return torch.from_numpy(_leb128(np.diff(self.positions.numpy(), prepend=0)))

    @staticmethod
    def unpack(packed: UInt8[Tensor, " byte"], shape: tuple[int, ...]) -> Zeroed:
        """Return the positions that `pack` encoded for a weight of this shape.

        Raises:
            EditError: The bytes do not encode positions of such a weight.
        """
        return Zeroed(shape, torch.from_numpy(np.cumsum(_from_leb128(packed.numpy()))))

    def digest(self) -> str:
        """Return the SHA-256, in hex, of shape and positions."""
        return digest_bytes(f"zeroed {self.shape} ".encode(), self.positions.numpy().tobytes())


def _leb128(numbers: Int[np.ndarray, " number"]) -> UInt8[np.ndarray, " byte"]:
    """Encode whole numbers from 0, lowest seven bits first."""
    lengths = np.ones(len(numbers), dtype=np.int64)
    while (longer := numbers >> (_BITS * lengths) > 0).any():
        lengths += longer
    number = np.repeat(np.arange(len(numbers)), lengths)
    place = np.arange(len(number)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    more = place + 1 < lengths[number]
    return ((numbers[number] >> (_BITS * place) & 0x7F) | more << _BITS).astype(np.uint8)


def _from_leb128(packed: UInt8[np.ndarray, " byte"]) -> Int64[np.ndarray, " number"]:
    ends = np.flatnonzero(packed < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not len(ends) or ends[-1] != len(packed) - 1 or (ends - starts).max() >= 64 // _BITS:
        raise EditError("The bytes of the zeroed positions do not end where a number does.")
    place = np.arange(len(packed)) - np.repeat(starts, ends + 1 - starts)
    return np.add.reduceat((packed & 0x7F).astype(np.int64) << (_BITS * place), starts)
