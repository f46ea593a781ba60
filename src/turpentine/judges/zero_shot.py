"""A classifier that needs no training: the description that a picture fits best, by CLIP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import polars as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.core.errors import BadArgument
from turpentine.core.settings import Fraction
from turpentine.judges.base import PROBABILITY, Column, PictureJudge
from turpentine.judges.network import NetworkJudge
from turpentine.judges.towers import CLIP, Towers, towers

SCALE = 100.0
"""What cosines are multiplied by before the softmax: the cap of CLIP's learned temperature, which all its published
weights have reached (Radford et al. 2021, section 2.5)."""

TEMPLATES = ("{}", "a photo of {}", "a picture of {}")
"""Sentences around a description; a label's vector is the mean of theirs (Radford et al. 2021, section 3.1.4)."""


@dataclass(frozen=True, eq=False)
class ZeroShot(PictureJudge, NetworkJudge[Towers]):
    """The label whose description a picture fits best, by CLIP without any training (Radford et al. 2021).

    p = softmax(100 · cos(picture, label)) over the labels, where a label's vector is the mean of the unit vectors of
    its description in each template (arXiv 2103.00020, sections 2.5 and 3.1.4). The label is the likeliest one, or null
    where that has less than `threshold`: nothing among the labels is clearly shown. The probabilities are relative to
    the labels given, which are therefore part of the protocol.

    Args:
        labels: Names of the labels, each with its description; or names alone, which describe themselves.
        model: "emoji", the embedded world's towers; or a CLIP model's folder or hub id.
        threshold: Probability that the likeliest label needs, 0 to 1.
        templates: Sentences with {} where a description goes.
        column: Name of the labels' column, where two such judges stand side by side.
        commit: Of the hub's repository.
        device: By default CUDA if there is one.
        preprocessing: Changes to what the model's config says of pictures; none for "emoji".

    Raises:
        BadArgument: There are fewer than two labels, a template without one {}, or a threshold out of range.

    Example:
        >>> ZeroShot(["church", "dog"], "emoji").columns["subject"].labels
        ('church', 'dog')
    """

    name: ClassVar[str] = "zero-shot"
    code: ClassVar[str] = "1"
    """Raise it with any change here that could give another answer."""

    full_size: ClassVar[Mapping[str, Any]] = {"model": CLIP}
    """Settings for pictures of other models than the embedded one."""

    labels: Mapping[str, str] | Sequence[str]
    model: str = CLIP
    threshold: Fraction = 0.5
    templates: Sequence[str] = TEMPLATES
    column: str = "subject"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.descriptions) < 2:
            raise BadArgument("The judge zero-shot tells labels apart: give two or more.")
        if not self.templates or any(template.count("{}") != 1 for template in self.templates):
            raise BadArgument("Each template of zero-shot must hold {} once, where the description goes.")

    @property
    def descriptions(self) -> Mapping[str, str]:
        """Each label with the description of its pictures."""
        return self.labels if isinstance(self.labels, Mapping) else {label: label for label in self.labels}

    @property
    def settings(self) -> Mapping[str, Any]:
        """The towers, labels, templates and threshold."""
        return {
            **super().settings,
            "labels": dict(self.descriptions),
            "templates": list(self.templates),
            "threshold": self.threshold,
        }

    @property
    def columns(self) -> Mapping[str, Column]:
        """The label, its probability, and the label that comes next."""
        label = Column(labels=tuple(self.descriptions))
        return {self.column: label, f"{self.column}_p": PROBABILITY, f"{self.column}_second": label}

    def scores(self, images: Sequence[Image.Image]) -> pl.DataFrame:
        """Label each picture.

        Args:
            images: Pictures of any size.

        Returns:
            A row for each picture: the label or null, the likeliest label's probability, and the next label.
        """
        names = list(self.descriptions)
        p, order = self.probabilities(images).sort(dim=1, descending=True, stable=True)
        rows = [
            (names[first] if best >= self.threshold else None, best, names[second])
            for best, (first, second) in zip(p[:, 0].tolist(), order[:, :2].tolist(), strict=True)
        ]
        kinds = (pl.String, pl.Float64, pl.String)
        return pl.DataFrame(rows, schema=dict(zip(self.columns, kinds, strict=True)), orient="row")

    def make_network(self) -> Towers:
        """Return the towers of `model`; nothing is read yet."""
        return towers(self.model, self.commit, self.device, self.preprocessing)

    def probabilities(self, images: Sequence[Image.Image]) -> Float[Tensor, "picture label"]:
        """Return the probability of each label, in the labels' order."""
        if not images:
            return torch.zeros(0, len(self.descriptions), dtype=torch.float64)
        cosines = self._network.vectors(images).double() @ self._label_vectors.T
        return torch.softmax(SCALE * cosines, dim=1)

    @cached_property
    def _label_vectors(self) -> Float[Tensor, "label feature"]:
        texts = [template.replace("{}", text) for text in self.descriptions.values() for template in self.templates]
        vectors = self._network.of_texts(texts).double()
        means = vectors.reshape(len(self.descriptions), len(self.templates), -1).mean(dim=1)
        return F.normalize(means, dim=-1)
