"""A few numbers of each weight: they tell whether weights were changed since they were looked at as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from turpentine.core.errors import EditError

if TYPE_CHECKING:
    from turpentine.models.pretrained import Pretrained

_EACH = 4
"""Numbers of a weight. What changes a weight as a whole, as a LoRA that is fused into it, changes them."""


@dataclass(frozen=True, eq=False)
class WeightSamples:
    """Numbers of all weights of a model.

    Attributes:
        names: Of the weights, with their networks'.
        values: Some numbers of each, in a row.
    """

    names: tuple[str, ...]
    values: Tensor

    @classmethod
    def of(cls, networks: Mapping[str, nn.Module]) -> WeightSamples:
        """Return the numbers of the weights of networks as they are now."""
        names, rows = [], []
        for component, network in networks.items():
            for name, weight in network.named_parameters():
                names.append(f"{component}.{name}")
                rows.append(_sample(weight.detach()))
        return cls(tuple(names), torch.stack(rows) if rows else torch.zeros(0, _EACH))

    def changed(self, now: WeightSamples) -> set[str]:
        """Return the names of the weights that are others now, or not there any more."""
        if self.names != now.names:
            return set(self.names) ^ set(now.names) or set(self.names)
        differ = (self.values != now.values).any(dim=1).tolist()
        return {name for name, is_other in zip(self.names, differ, strict=True) if is_other}


def check_weights(model: Pretrained) -> None:
    """Let a model forget its fingerprint where its weights were changed since it was computed.

    Raises:
        EditError: They were changed beside the edits that are on: the base's own are not to be had then.
    """
    if model.samples is None:
        return
    changed = model.samples.changed(WeightSamples.of(model.components))
    changed -= set(model.edits.touched) if model.edits else set()
    if not changed:
        return
    if model.edits:
        raise EditError(
            f"{min(changed)} was changed by something else while edits are on this model: take the edits off, and put "
            "them on again."
        )
    model.forget_fingerprint()


def _sample(weight: Tensor) -> Tensor:
    if weight.numel() < _EACH or weight.is_meta:
        return torch.full((_EACH,), float(weight.flatten()[0]) if weight.numel() and not weight.is_meta else 0.0)
    return weight.as_strided((_EACH,), (weight.numel() // _EACH,)).to("cpu", torch.float32)
