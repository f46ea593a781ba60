"""A few numbers of each weight: they tell whether weights were changed since they were looked at as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from turpentine.core.errors import EditError
from turpentine.models.network_parts import named_weights

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
        names, values = [], [torch.zeros(0, _EACH)]
        for component, network in networks.items():
            weights = dict(named_weights(network))
            names += [f"{component}.{name}" for name in weights]
            if weights:  # moved together: a device waits once for a network, and not for each weight
                values.append(torch.stack([_sample(weight.detach()) for weight in weights.values()]).cpu())
        return cls(tuple(names), torch.cat(values))

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
    if weight.numel() < _EACH:
        return weight.reshape(-1).repeat(_EACH)[:_EACH].float()
    return weight.as_strided((_EACH,), (weight.numel() // _EACH,)).float()
