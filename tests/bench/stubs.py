"""Stand-ins for what is slow: a judge that reads a pixel, and a method that changes one weight."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.edits import Edit, Provenance
from turpentine.judges.base import LABEL, Column
from turpentine.models import Model
from turpentine.runs.protocol import Protocol
from turpentine.tasks.cases import Case

CASES = [
    Case("erased", "church", "church", "object", "church"),
    Case("erased", "church", "a church", "object", "church"),
    Case("other", "dog", "a dog in flat style", "object", "dog"),
    Case("style", "flat", "a dog in flat style", "style", "flat"),
]
QUICK = Protocol(steps=1, seeds=(0, 1), batch_size=3)
WEIGHT = "unet.conv_out.bias"

DESCRIPTION: dict[str, Any] = {"weights": "ab" * 32, "formats": {}, "device": "cpu", "changes": []}
"""A model that nobody loads, as `turpentine.models.identity.describe` might have it."""


class StubJudge:
    """Sees a church in pictures whose first pixel has an even red, a dog in the others; always the style flat."""

    name = "stub"
    settings: Mapping[str, Any] = {}
    needs: frozenset[str] = frozenset()
    columns: Mapping[str, Column] = {"object": LABEL, "style": LABEL}
    download = None

    def __init__(self, revision: str = "1") -> None:
        self.revision = revision
        self.seen = 0

    def __call__(self, images: Sequence[Image.Image], **told: Any) -> pl.DataFrame:
        self.seen += len(images)
        reds = [int(np.asarray(image)[0, 0, 0]) for image in images]
        objects = ["church" if red % 2 == 0 else "dog" for red in reds]
        schema = {"object": pl.String, "style": pl.String}
        return pl.DataFrame({"object": objects, "style": ["flat"] * len(images)}, schema=schema)


@dataclass(frozen=True)
class Nudge:
    """Adds a number to a bias, in one unit of progress."""

    amount: float = 4.0

    def __call__(
        self,
        model: Model,
        concept: Sequence[Concept],
        *,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> Edit:
        if self.amount < 0:
            raise BadArgument("amount is below 0.")
        CALLS.append(self)
        if progress:
            progress(1, 1)
        delta = torch.full_like(model.parameter(WEIGHT), self.amount)
        return Edit({WEIGHT: delta}, Provenance("Nudge", {}, tuple(concept), base=model.fingerprint, model="tiny"))


CALLS: list[Nudge] = []


class Killed(BaseException):
    """What a kill looks like from inside: nobody catches it."""


def killer(after: int) -> Any:
    """A progress that ends the run at its call number `after`."""
    calls = itertools.count(1)

    def progress(phase: str, done: int, total: int) -> None:
        if next(calls) == after:
            raise Killed

    return progress
