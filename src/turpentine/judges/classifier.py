"""Judges with a classifier of photographs, given by hub id or folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import polars as pl
from PIL import Image

from turpentine.core.errors import UnknownName
from turpentine.core.suggest import offer
from turpentine.judges.base import PROBABILITY, Column, PictureJudge
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
class ImageClassifier(PictureJudge, NetworkJudge[HubClassifier]):
    """Says which of a classifier's classes a picture shows.

    The column class is the likeliest of all classes (top 1), class_p its probability, and class_second the next class.
    A class of `labels` is called as it is written there, another one by the first of its own names.

    The CAD and ESD papers take torchvision's ResNet-50, whose weights are not this default's: accuracies of the two
    have no common scale to the last percent.

    Args:
        model: A folder, or a hub id.
        labels: Classes as the prompts call them, in small or large letters; each must be one of the network's, whose
            name may list several ("chain saw, chainsaw"). () leaves the network's own names.
        commit: Of the hub's repository.
        device: By default CUDA if there is one.
        preprocessing: Changes to what the model's config says of pictures, such as {"crop_pct": 1.0}.

    Example:
        >>> ImageClassifier(labels=("church", "tench")).columns["class"].labels
        ('church', 'tench')
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
        """Its columns; without `labels` only the network could list the classes, and it may not be here."""
        label = Column(labels=tuple(self.labels) or None)
        return {"class": label, "class_p": PROBABILITY, "class_second": label}

    def scores(self, images: Sequence[Image.Image]) -> pl.DataFrame:
        """Classify each picture.

        Args:
            images: Pictures of any size.

        Returns:
            A row for each picture: class, class_p and class_second.

        Raises:
            UnknownName: A label is not among the network's classes.
        """
        schema = {"class": pl.String, "class_p": pl.Float64, "class_second": pl.String}
        if not images:
            return pl.DataFrame(schema=schema)
        answers = self._answers
        p, order = self._network.probabilities(images).sort(dim=1, descending=True, stable=True)
        first, second = ([answers[index] for index in order[:, rank].tolist()] for rank in (0, 1))
        return pl.DataFrame({"class": first, "class_p": p[:, 0].tolist(), "class_second": second}, schema=schema)

    def make_network(self) -> HubClassifier:
        """Return the classifier `model`; nothing is read yet."""
        return HubClassifier(self.model, self.commit, self.device, self.preprocessing)

    @cached_property
    def _answers(self) -> tuple[str, ...]:
        """What each of the network's classes is called."""
        classes = [[name.strip() for name in names.split(",")] for names in self._network.classes]
        class_names = {name.lower() for names in classes for name in names}
        for label in self.labels:
            if label.lower() not in class_names:
                raise UnknownName(f"{self.model} has no class {label!r}: {offer(label.lower(), sorted(class_names))}")
        label_by_name = {label.lower(): label for label in self.labels}
        return tuple(
            next((label_by_name[name.lower()] for name in names if name.lower() in label_by_name), names[0])
            for names in classes
        )
