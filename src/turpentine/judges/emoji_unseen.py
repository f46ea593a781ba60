"""The judge of what is not in the emoji world, which its own judge has no label for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from jaxtyping import Float64
from PIL import Image
from torch import Tensor

from turpentine.core.errors import UnknownName
from turpentine.core.settings import Settings
from turpentine.core.suggest import offer
from turpentine.emoji import WORLD
from turpentine.emoji.captions import draw
from turpentine.emoji.judge_network import JudgeNet, load_judge
from turpentine.emoji.unseen import unseen_pictures
from turpentine.emoji.vision import images_to_tensor
from turpentine.emoji.world import SIZE, UNSEEN, render
from turpentine.judges.base import Column, PictureJudge
from turpentine.judges.weights import weights_digest

REVISION = "1"
"""Of the code here; raise it with any change that could give another answer."""
OTHER = "other"
PICTURES = 240
"""Renders of the thing, and likewise of others, that the boundary is fitted to."""
RIDGE = 1.0
FROM = 0.25
"""What is above it is the thing; between 0 and this most are others."""
BATCH = 128


@dataclass(frozen=True, eq=False)
class UnseenJudge(PictureJudge, Settings):
    """Says whether a picture shows something that is not in the emoji world.

    A linear boundary between what the shipped judge's network makes of renders of the thing, and of renders of the
    world and of the other things that are not in it: least squares with a ridge, from targets of 1 and -1.

    Args:
        concept: The thing: mushroom, anchor, snowman or octopus.

    Raises:
        UnknownName: There are no sprites of it.

    Example:
        >>> UnseenJudge("anchor").columns["unseen"].labels
        ('anchor', 'other')
    """

    name: ClassVar[str] = "emoji-unseen"
    world: ClassVar[str] = WORLD
    download: ClassVar[None] = None

    concept: str = UNSEEN[0]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.concept not in UNSEEN:
            raise UnknownName(f"There are no sprites of {self.concept!r}: {offer(self.concept, UNSEEN)}")

    @property
    def revision(self) -> str:
        """SHA-256, in hex, over the network's weights and the revision of the code."""
        return weights_digest(REVISION, _network())

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is looked for."""
        return {"concept": self.concept, "pictures": PICTURES, "ridge": RIDGE, "from": FROM}

    @property
    def columns(self) -> Mapping[str, Column]:
        """Whether it is shown."""
        return {"unseen": Column(labels=(self.concept, OTHER))}

    def scores(self, images: Sequence[Image.Image]) -> pl.DataFrame:
        """Judge each picture.

        Args:
            images: Pictures of any size.

        Returns:
            A row for each picture: the concept, or "other".
        """
        scores = (_features(images) @ _boundary(self.concept)).tolist() if images else []
        labels = [self.concept if score > FROM else OTHER for score in scores]
        return pl.DataFrame({"unseen": labels}, schema={"unseen": pl.String})


@cache
def _network() -> JudgeNet:
    return load_judge()


@torch.inference_mode()
def _features(images: Sequence[Image.Image]) -> Float64[Tensor, "picture feature"]:
    """Return what the network makes of pictures before it labels them, and a 1."""
    parts = (images_to_tensor(images[start : start + BATCH], SIZE) for start in range(0, len(images), BATCH))
    features = torch.cat([_network().network.features(part) for part in parts]).double()
    return torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], dim=1)


@cache
def _boundary(concept: str) -> Float64[Tensor, " feature"]:
    """Return the least squares' weights; they are fitted once in a process."""
    rng = np.random.default_rng(0)
    others = [Image.fromarray(render(draw(rng).picture)) for _ in range(PICTURES)]
    others += [picture for name in UNSEEN if name != concept for picture in unseen_pictures(name, PICTURES // 4, 1)]
    groups = [unseen_pictures(concept, PICTURES, 1), others]
    x = torch.cat([_features(group) for group in groups])
    y = torch.cat([torch.full((len(group),), sign) for group, sign in zip(groups, (1.0, -1.0), strict=True)])
    gram = x.T @ x + RIDGE * torch.eye(x.shape[1], dtype=torch.float64)
    weights: Tensor = torch.linalg.solve(gram, x.T @ y.double())
    return weights
