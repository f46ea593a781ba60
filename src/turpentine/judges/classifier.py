"""A classifier of photographs, by hub id or folder: what is in the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import polars as pl
from PIL import Image

from turpentine.core.errors import UnknownName
from turpentine.core.suggest import offer
from turpentine.judges.base import PROBABILITY, Column
from turpentine.judges.hf_classifier import HubClassifier
from turpentine.judges.network import NetworkJudge

IMAGENETTE = (
    "cassette player",
    "chain saw",
    "church",
    "english springer",
    "french horn",
    "garbage truck",
    "gas pump",
    "golf ball",
    "parachute",
    "tench",
)
"""Ten classes of ImageNet that are easy to tell apart, as prompt files of the field write them."""


@dataclass(frozen=True, eq=False)
class ImageClassifier(NetworkJudge[HubClassifier]):
    """Says which of a classifier's classes a picture shows.

    class, class_p: the most likely of all its classes (top 1), and the probability; class_second: the next one. A class
    of `labels` is called as it is there, another by the first of its own names.

    The CAD and ESD papers take torchvision's ResNet-50, whose weights are others than this default's: accuracies of the
    two have no common scale to the last percent.

    model: a folder, or a hub id. labels: classes as the prompts call them; each must be one of the network's, whose
        name may list several ("chain saw, chainsaw"); large and small letters are one. () leaves its own names.
    commit: of the hub's repository. device: by default CUDA if there is one. preprocessing: changes to what the model's
        config says of pictures, such as {"crop_pct": 1.0}.
    """

    name: ClassVar[str] = "classifier"

    model: str = "microsoft/resnet-50"
    labels: Sequence[str] = IMAGENETTE

    @property
    def settings(self) -> Mapping[str, Any]:
        """The model, its labels, and what is done to pictures before it sees them."""
        return {**super().settings, "labels": list(self.labels)}

    @property
    def columns(self) -> Mapping[str, Column]:
        """Its columns. Labels that are not given are known to the network alone, which may not be here yet."""
        label = Column(labels=tuple(self.labels) or None)
        return {"class": label, "class_p": PROBABILITY, "class_second": label}

    def __call__(
        self,
        images: Sequence[Image.Image],
        *,
        prompts: Sequence[str] | None = None,
        references: Sequence[Image.Image] | None = None,
    ) -> pl.DataFrame:
        """A row for each picture. Raises UnknownName for a label that the network does not know."""
        schema = {"class": pl.String, "class_p": pl.Float64, "class_second": pl.String}
        if not images:
            return pl.DataFrame(schema=schema)
        answers = self._answers
        p, order = self._network.probabilities(images).sort(dim=1, descending=True, stable=True)
        first, second = ([answers[index] for index in order[:, rank].tolist()] for rank in (0, 1))
        return pl.DataFrame({"class": first, "class_p": p[:, 0].tolist(), "class_second": second}, schema=schema)

    def make_network(self) -> HubClassifier:
        """The classifier `model`."""
        return HubClassifier(self.model, self.commit, self.device, self.preprocessing)

    @cached_property
    def _answers(self) -> tuple[str, ...]:
        """What each of the network's classes is called."""
        classes = [[name.strip() for name in names.split(",")] for names in self._network.classes]
        known = {name.lower() for names in classes for name in names}
        for label in self.labels:
            if label.lower() not in known:
                raise UnknownName(f"{self.model} has no class {label!r}: {offer(label.lower(), sorted(known))}")
        called = {label.lower(): label for label in self.labels}
        return tuple(
            next((called[name.lower()] for name in names if name.lower() in called), names[0]) for names in classes
        )
