"""fp32 copies of the weights that are trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from turpentine.models import Model


class Masters:
    """The trained weights in fp32, by dotted name; the model's own are never written to.

    In half precision an Adam step of 1e-5 is smaller than the spacing of most weights, and would be lost.
    """

    def __init__(self, model: Model, names: Iterable[str]) -> None:
        self._start = {name: model.parameter(name).detach() for name in names}
        self.tensors = {
            name: weight.to(torch.float32, copy=True).requires_grad_() for name, weight in self._start.items()
        }

    def cast(self) -> dict[str, Tensor]:
        """The weights in the model's own number format, with the gradient flowing back to the masters."""
        return {name: master.to(self._start[name].dtype) for name, master in self.tensors.items()}

    @torch.no_grad()
    def deltas(self) -> dict[str, Tensor]:
        """What training has changed: ΔW = W_master − W."""
        return {name: master - self._start[name].float() for name, master in self.tensors.items()}


@contextmanager
def standing_in(model: Model, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """These tensors in the place of the model's weights inside a `with` block, for what cannot be told them by call.

    Only pointers change hands, so that the model's own bits come back whatever happens.
    """
    originals = {name: model.parameter(name).data for name in tensors}
    try:
        for name, tensor in tensors.items():
            model.parameter(name).data = tensor.detach()
        yield
    finally:
        for name, original in originals.items():
            model.parameter(name).data = original
