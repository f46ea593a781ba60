"""An image classifier of transformers: its probabilities, and what its last layer reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModelForImageClassification

from turpentine.core.errors import BadArgument
from turpentine.judges.feature_maps import Maps, as_maps, joined
from turpentine.judges.hub_network import batches, processing, read_network, read_processor, to_fetch
from turpentine.judges.weights import weights_digest

REVISION = "1"
"""Of the code here and in `classifier`; raise it with any change that could give another answer."""


@dataclass(frozen=True, eq=False)
class HubClassifier:
    """A classifier by folder or hub id. commit: of the hub's repository. device: by default CUDA if there is one.

    preprocessing: changes to what the model's own config says of pictures. Raises ModelNotFound when it is first used.
    """

    model: str
    commit: str | None = None
    device: str | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def revision(self) -> str:
        """SHA-256 over the revision of the code and all weights."""
        return weights_digest(f"classifier {REVISION}", self._network)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The model's name, and what is done to pictures before it sees them."""
        return {"model": self.model, "preprocessing": processing(self._processor)}

    @property
    def download(self) -> str | None:
        """What must be fetched first."""
        return to_fetch(self.model, self.commit)

    @property
    def classes(self) -> tuple[str, ...]:
        """What the network calls its classes, in order."""
        names = self._network.config.id2label
        return tuple(names[index] for index in range(len(names)))

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return self._last.in_features

    @torch.inference_mode()
    def probabilities(self, images: Sequence[Image.Image]) -> Float[Tensor, "picture class"]:
        """Of each class for each picture, fp32, on the CPU."""
        logits = [self._network(x).logits.softmax(dim=-1).cpu() for x in self._read(images)]
        return torch.cat(logits) if logits else torch.zeros(0, len(self.classes))

    @torch.inference_mode()
    def vectors(self, images: Sequence[Image.Image]) -> Float[Tensor, "picture feature"]:
        """What the last layer reads: of a ResNet the pooled features."""
        with _inputs_of(self._last) as seen:
            for x in self._read(images):
                self._network(x)
        return torch.cat(seen).cpu() if seen else torch.zeros(0, self.width)

    @torch.inference_mode()
    def maps(self, images: Sequence[Image.Image]) -> Maps:
        """What the network's stages give."""
        states = [self._network(x, output_hidden_states=True).hidden_states for x in self._read(images)]
        return joined([as_maps(each) for each in states])

    def _read(self, images: Sequence[Image.Image]) -> Iterator[Tensor]:
        return batches(self._processor, images, self._network.device)

    @cached_property
    def _last(self) -> nn.Linear:
        classes = len(self.classes)
        linears = [part for part in self._network.modules() if isinstance(part, nn.Linear)]
        if not linears or linears[-1].out_features != classes:
            raise BadArgument(
                f"{self.model} does not end in a linear layer of {classes} classes: take another network."
            )
        return linears[-1]

    @cached_property
    def _network(self) -> Any:
        return read_network(AutoModelForImageClassification, self.model, self.commit, self.device)

    @cached_property
    def _processor(self) -> Any:
        return read_processor(self.model, self.commit, self.preprocessing)


@contextmanager
def _inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """All that a layer reads inside the block."""
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()
