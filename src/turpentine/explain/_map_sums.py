"""Sums of cross-attention's probabilities on the grid of the latents, in all and by parts of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from turpentine.models.attention import grid
from turpentine.models.call import Call
from turpentine.models.model import Model

Per = Literal["all", "module", "factor", "head"]
"""What a map is taken apart into: nothing, modules, how coarse their grids are, or heads."""

ALL: Final = "all"
"""The part that is all of them."""

Sum = Float[Tensor, "picture token height width"]


class MapSums:
    """Probabilities of some tokens summed over heads, modules and steps (DAAM), in all and by part.

    Each head's map is upsampled to the latents' grid, and what bicubic interpolation takes below zero is zero; the
    authors' code clamps the sum over the steps, which differs by less than a hundredth.

    Args:
        model: What is sampled.
        latents: Of the batch.
        tokens: Places in the prompt.
        per: The parts, beside `ALL`: labels of modules, such as UP6; a factor of 2 is a grid half as fine as the
            latents', "÷2"; heads count from 0 in their module, "UP6 H3".
    """

    def __init__(self, model: Model, latents: Tensor, tokens: Sequence[int], per: Per = ALL) -> None:
        self._model, self._per = model, per
        self.height, self.width = latents.shape[-2:]
        self._tokens = torch.tensor(tokens, device=latents.device)
        shape = (len(latents), len(tokens), self.height, self.width)
        self._totals: dict[str, Tensor] = {ALL: torch.zeros(shape, device=latents.device)}

    def add(self, call: Call) -> None:
        """Add a call of a cross-attention module."""
        for heads, probability in self._model.attention(call):
            height, width = grid(probability.shape[2], self.height, self.width)
            by_token = probability[..., self._tokens].transpose(2, 3)
            small = by_token.reshape(*by_token.shape[:3], height, width)
            large = enlarged(small, self.height, self.width)
            for part, share in self._parts(call, heads, large, -(-self.height // height)):
                self._totals[part] = self._totals[part] + share if part in self._totals else share

    def _parts(
        self, call: Call, heads: slice, large: Float[Tensor, "picture head token height width"], factor: int
    ) -> Iterator[tuple[str, Sum]]:
        """Yield the sums over heads that this call adds to, in all and to parts."""
        whole = large.sum(1)
        yield ALL, whole
        if self._per == "module":
            yield call.site.label, whole
        elif self._per == "factor":
            yield f"÷{factor}", whole
        elif self._per == "head":
            for head in range(large.shape[1]):
                yield f"{call.site.label} H{heads.start + head}", large[:, head]

    def maps(self) -> Mapping[str, Sum]:
        """Return the sums by part, on the CPU."""
        return {part: total.cpu() for part, total in self._totals.items()}


def enlarged(small: Float[Tensor, "*batch rows columns"], height: int, width: int) -> Float[Tensor, "*batch high wide"]:
    """Return maps on a finer grid by bicubic interpolation, which takes nothing below zero."""
    rows, columns = (_bicubic(old, new).to(small) for old, new in zip(small.shape[-2:], (height, width), strict=True))
    return (rows @ small @ columns.T).clamp_(min=0)


@cache
def _bicubic(count: int, length: int) -> Float[Tensor, "length count"]:
    """Return the matrix that bicubic interpolation of `count` numbers to `length` multiplies by."""
    each = F.interpolate(torch.eye(count)[None, :, :, None], (length, 1), mode="bicubic", align_corners=False)
    return each[0, :, :, 0].T
