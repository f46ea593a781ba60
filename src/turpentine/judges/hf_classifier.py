"""An image classifier of transformers: its probabilities, and the input of its last layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModelForImageClassification

from turpentine.core.errors import BadArgument
from turpentine.judges.feature_maps import Maps, as_maps, joined
from turpentine.judges.hub_network import HubNetwork


@dataclass(frozen=True, eq=False)
class HubClassifier(HubNetwork):
    """A classifier by folder or hub id, read when it is first used; see `HubNetwork`."""

    transformer: ClassVar[Any] = AutoModelForImageClassification
    code: ClassVar[str] = "classifier 1"
    """Of the code here and in `classifier`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The network's own names of its classes, in order."""
        names = self._network.config.id2label
        return tuple(names[index] for index in range(len(names)))

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._last.in_features

    @torch.inference_mode()
    def probabilities(self, images: Sequence[Image.Image]) -> Float[Tensor, "picture class"]:
        """Return the probability of each class for each picture, in fp32, on the CPU."""
        logits = [self._network(x).logits.softmax(dim=-1).cpu() for x in self._batches(images)]
        return torch.cat(logits) if logits else torch.zeros(0, len(self.classes))

    @torch.inference_mode()
    def vectors(self, images: Sequence[Image.Image]) -> Float[Tensor, "picture feature"]:
        """Return the input of the last layer: of a ResNet, the pooled features."""
        with _inputs_of(self._last) as seen:
            for x in self._batches(images):
                self._network(x)
        return torch.cat(seen).cpu() if seen else torch.zeros(0, self.width)

    @torch.inference_mode()
    def maps(self, images: Sequence[Image.Image]) -> Maps:
        """Return the outputs of the network's stages."""
        states = [self._network(x, output_hidden_states=True).hidden_states for x in self._batches(images)]
        return joined([as_maps(each) for each in states])

    @cached_property
    def _last(self) -> nn.Linear:
        classes = len(self.classes)
        linears = [part for part in self._network.modules() if isinstance(part, nn.Linear)]
        if not linears or linears[-1].out_features != classes:
            raise BadArgument(
                f"{self.model} does not end in a linear layer of {classes} classes: take another network."
            )
        return linears[-1]


@contextmanager
def _inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect all inputs of a layer inside the block."""
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()
