"""The conditioning of the denoiser: the text, and in some families its summary, its mask and the picture's size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.models.finite import is_finite


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Encoded prompts, one row each.

    Args:
        hidden: The text encoder's states, all tokens of the padded prompt; for SDXL both encoders' states side by side.
        pooled: For SDXL and Stable Diffusion 3 only, the encoders' projected summary of the prompt.
        time_ids: For SDXL only: original height and width, top and left of the crop, target height and width (pixels).
        mask: For families whose denoiser is told which tokens are the prompt's: 1 for these, 0 for padding.
        guidance: For denoisers that compute guidance themselves: w; None for their pipeline's default.
    """

    hidden: Float[Tensor, "batch token width"]
    pooled: Float[Tensor, "batch pooled"] | None = None
    time_ids: Float[Tensor, "batch 6"] | None = None
    mask: Shaped[Tensor, "batch token"] | None = None
    guidance: Float[Tensor, " batch"] | None = None

    def __len__(self) -> int:
        return self.hidden.shape[0]

    def __getitem__(self, rows: int | slice | Sequence[int] | Shaped[Tensor, " row"]) -> Conditioning:
        """Return some rows; one row stays a batch of one."""
        index = slice(rows, rows + 1 or None) if isinstance(rows, int) else rows
        return self._map(lambda tensor: tensor[index])

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return sum(part.nbytes for part in vars(self).values() if part is not None)

    def is_finite(self) -> bool:
        """Return whether no row holds NaN or infinity."""
        return all(map(is_finite, (part for part in (self.hidden, self.pooled) if part is not None)))

    def repeat(self, times: int) -> Conditioning:
        """Return all rows, `times` times over: rows 0, 1, 0, 1, ... for two rows."""
        return self._map(lambda tensor: tensor.repeat(times, *[1] * (tensor.ndim - 1)))

    def to(self, device: torch.device | str) -> Conditioning:
        """Return the same rows on another device."""
        return self._map(lambda tensor: tensor.to(device))

    def sized_as(self, other: Conditioning) -> Conditioning:
        """Return the same texts with the picture sizes of `other`, whose rows take turns."""
        if other.time_ids is None:
            return self
        return replace(self, time_ids=other.time_ids.repeat(len(self) // len(other), 1))

    def guided(self, guidance_scale: float) -> Conditioning:
        """Return the same rows with a w for a denoiser that computes guidance itself."""
        shape, device = (len(self),), self.hidden.device
        return replace(self, guidance=torch.full(shape, float(guidance_scale), dtype=torch.float32, device=device))

    def w_or(self, default: float) -> Float[Tensor, " batch"]:
        """Return the w of each row for a denoiser that computes guidance itself, or a default where there is none."""
        return (
            self.guidance if self.guidance is not None else torch.full((len(self),), default, device=self.hidden.device)
        )

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        """Return the rows of all parts, one part after the other."""
        return Conditioning(
            torch.cat([part.hidden for part in parts]),
            _cat([part.pooled for part in parts]),
            _cat([part.time_ids for part in parts]),
            _cat([part.mask for part in parts]),
            _cat([part.guidance for part in parts]),
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        parts = (self.pooled, self.time_ids, self.mask, self.guidance)
        others = (None if part is None else change(part) for part in parts)
        return Conditioning(change(self.hidden), *others)


def _cat(tensors: list[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(present) if present else None
