"""Training of some rows of a weight that holds several layers in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from turpentine.erase._training.training import Trained


class OnlyRows:
    """What is trained, with a change in some rows alone of some weights.

    Args:
        trained: What is trained.
        start: The weights before, by dotted name.
        rows: First and last but one of the rows that may change, by the names of weights whose others stay; see
            `Sites.slices`.

    Attributes:
        tensors: What is trained, by name.
    """

    def __init__(
        self, trained: Trained, start: Mapping[str, Tensor], rows: Mapping[str, Sequence[tuple[int, int]]]
    ) -> None:
        self._trained, self._start = trained, start
        self._masks = {name: _mask(start[name], spans) for name, spans in rows.items()}
        self.tensors = trained.tensors

    def current(self) -> dict[str, Tensor]:
        """Return the weights as they are now; no gradient goes to rows that stay."""
        return {name: self._masked(name, weight, self._start) for name, weight in self._trained.current().items()}

    def deltas(self) -> dict[str, Tensor]:
        """Return what training has changed, 0 in rows that stay."""
        return {name: self._masked(name, delta) for name, delta in self._trained.deltas().items()}

    def _masked(self, name: str, tensor: Tensor, others: Mapping[str, Tensor] | None = None) -> Tensor:
        if name not in self._masks:
            return tensor
        return torch.where(self._masks[name], tensor, others[name] if others else torch.zeros_like(tensor))


def _mask(weight: Tensor, spans: Sequence[tuple[int, int]]) -> Tensor:
    """Return which rows of a weight are in spans, shaped to be put over it."""
    mask = torch.zeros(len(weight), dtype=torch.bool, device=weight.device)
    for first, stop in spans:
        mask[first:stop] = True
    return mask.reshape(-1, *[1] * (weight.ndim - 1))
