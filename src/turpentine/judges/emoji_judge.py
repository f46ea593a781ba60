"""The judge of the emoji world: object, drawing style, background colour and work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import polars as pl
import torch
from PIL import Image
from torch import Tensor, nn

from turpentine.core.errors import ModelNotFound
from turpentine.core.settings import Settings
from turpentine.emoji import WORLD
from turpentine.emoji.judge_network import ANSWERS, load_judge, weights_path
from turpentine.emoji.world import PALETTES, WORKS
from turpentine.judges.base import PROBABILITY, Column, PictureJudge
from turpentine.judges.emoji_works import nearest_works, radius
from turpentine.judges.weights import weights_digest

REVISION = "2"
"""Of the code here and in `works`; raise it with any change that could give another answer."""

ALSO = 0.15
"""The probability from which a second object is shown too: of pictures of one object, three in a thousand reach it."""


@runtime_checkable
class Classifier(Protocol):
    """Gives the probabilities of each attribute's answers, a row for each picture, columns as in `ANSWERS`."""

    def probabilities(self, images: Sequence[Image.Image]) -> Mapping[str, Tensor]:
        """Return the probabilities by attribute: "object", "style" and "colour"."""
        ...


@dataclass(frozen=True, eq=False)
class EmojiJudge(PictureJudge, Settings):
    """Says what a picture of the emoji world shows.

    Its columns are object, the likeliest object ("none" is one of the answers), object_p, its probability, and second,
    the next object; object_also is the same as second where that has a probability of `ALSO` or more, since a scene
    shows two objects, and null elsewhere. style, style_p, colour and colour_p are the same for drawing style and
    background. work and artist are those of the nearest work, null if none is near, and work_distance is the mean
    absolute difference of the pixels to it, 0 to 1.

    Args:
        classifier: The network; the shipped one by default.

    Raises:
        ModelNotFound: The shipped network's weights are missing.

    Example:
        >>> EmojiJudge().columns["style"].labels[:3]
        ('noto', 'blob', 'twemoji')
    """

    name: ClassVar[str] = "emoji"
    world: ClassVar[str] = WORLD
    download: ClassVar[None] = None
    columns: ClassVar[Mapping[str, Column]] = {
        "object": Column(labels=ANSWERS["object"]),
        "object_p": PROBABILITY,
        "second": Column(labels=ANSWERS["object"]),
        "object_also": Column(labels=ANSWERS["object"]),
        "style": Column(labels=ANSWERS["style"]),
        "style_p": PROBABILITY,
        "colour": Column(labels=ANSWERS["colour"]),
        "colour_p": PROBABILITY,
        "work": Column(labels=tuple(work.title for work in WORKS)),
        "artist": Column(labels=tuple(PALETTES)),
        "work_distance": Column(0.0, 1.0),
    }

    classifier: Classifier | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._network  # which may not be here

    @cached_property
    def revision(self) -> str:
        """SHA-256, in hex, over the classifier's weights and the revision of the code."""
        code = f"{REVISION} {type(self._network).__name__}"
        networks = [self._network] if isinstance(self._network, nn.Module) else []
        return weights_digest(code, *networks)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The labels, the probability of a second object, and how near a picture of a work is."""
        labels = {attribute: list(answers) for attribute, answers in ANSWERS.items()}
        return {"labels": labels, "second object from": ALSO, "radius of a work": radius()}

    def scores(self, images: Sequence[Image.Image]) -> pl.DataFrame:
        """Judge each picture.

        Args:
            images: Pictures of any size.

        Returns:
            A row for each picture, with the columns that the class describes.
        """
        if not images:
            return pl.concat([_answers(_nothing()), nearest_works([])], how="horizontal")
        return pl.concat([_answers(self._network.probabilities(images)), nearest_works(images)], how="horizontal")

    @cached_property
    def _network(self) -> Classifier:
        return _shipped() if self.classifier is None else self.classifier


def _shipped() -> Classifier:
    path = weights_path()
    if not path.is_file():
        raise ModelNotFound(f"The judge's weights are not at {path}: install Turpentine anew.")
    return load_judge(path)


def _nothing() -> dict[str, Tensor]:
    return {attribute: torch.zeros(0, len(answers)) for attribute, answers in ANSWERS.items()}


def _answers(probabilities: Mapping[str, Tensor]) -> pl.DataFrame:
    columns: list[pl.Series] = []
    for attribute, answers in ANSWERS.items():
        p, order = probabilities[attribute].sort(dim=1, descending=True, stable=True)
        columns.append(_names(attribute, answers, order[:, 0]))
        columns.append(pl.Series(f"{attribute}_p", p[:, 0].tolist(), dtype=pl.Float64))
        if attribute == "object":
            columns += _second(_names("second", answers, order[:, 1]), p[:, 1])
    return pl.DataFrame(columns)


def _second(second: pl.Series, p: Tensor) -> tuple[pl.Series, pl.Series]:
    """Return the next object, and the same where it is likely enough to be shown too."""
    unlikely = pl.Series((p < ALSO).tolist(), dtype=pl.Boolean)
    return second, second.set(unlikely, None).alias("object_also")


def _names(column: str, answers: Sequence[str], indices: Tensor) -> pl.Series:
    return pl.Series(column, [answers[index] for index in indices.tolist()], dtype=pl.String)
