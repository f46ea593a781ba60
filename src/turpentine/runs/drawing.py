"""Draws a batch, and judges it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import polars as pl
from PIL import Image

from turpentine.core.errors import NotFinite, TurpentineError
from turpentine.judges import Judge
from turpentine.models import Model
from turpentine.runs.batches import Batch
from turpentine.runs.specs import JudgeSpec


@dataclass(frozen=True)
class BatchImages:
    """The pictures of a batch.

    Attributes:
        batch: What was drawn.
        images: For each picture its image, or None.
        errors: For each picture None, or why there is no image.
    """

    batch: Batch
    images: tuple[Image.Image | None, ...]
    errors: tuple[str | None, ...]

    @property
    def parts(self) -> list[BatchImages]:
        """Each picture as a batch of its own."""
        rows = zip(self.batch.singles, self.images, self.errors, strict=True)
        return [BatchImages(single, (image,), (error,)) for single, image, error in rows]

    @classmethod
    def failed(cls, batch: Batch, error: str) -> BatchImages:
        """Return a batch of which no picture could be drawn."""
        return cls(batch, (None,) * len(batch), (error,) * len(batch))

    @classmethod
    def joined(cls, batch: Batch, parts: Sequence[BatchImages]) -> BatchImages:
        """Join a batch's parts, in their order."""
        images = tuple(image for part in parts for image in part.images)
        return cls(batch, images, tuple(error for part in parts for error in part.errors))


def draw(model: Model, batch: Batch) -> BatchImages:
    """Draw a batch with the model as it is.

    Raises:
        NotFinite: The model gives NaN or infinity.
        EditError: The artefact does not fit the model, or is another one now.
    """
    prompts, seeds = zip(*batch.pairs, strict=True)
    settings, artefact = batch.draw_spec.settings, batch.draw_spec.artefact
    with artefact.load().on(model) if artefact else nullcontext():
        images = model.generate(prompts, seeds=seeds, batch_size=len(batch), progress=False, **settings)
    return BatchImages(batch, tuple(images), (None,) * len(batch))


def judged(
    judge: Judge, spec: JudgeSpec, drawn_batch: BatchImages, references: Sequence[Image.Image | None]
) -> pl.DataFrame:
    """Judge a batch.

    Args:
        judge: Who judges.
        spec: The judge as a value.
        drawn_batch: The pictures; one that is missing gets nulls.
        references: The unedited model's picture for each, where the judge needs them.

    Returns:
        A row for each picture: the judge's columns, and error.

    Raises:
        NotFinite: A score is NaN or infinite; and whatever the judge raises.
    """
    lacking = [_lacking(index, spec, drawn_batch, references) for index in range(len(drawn_batch.batch))]
    rows = [index for index, error in enumerate(lacking) if error is None]
    inputs: dict[str, Any] = {}
    if "prompt" in spec.needs:
        inputs["prompts"] = [drawn_batch.batch.pairs[index][0] for index in rows]
    if "reference" in spec.needs:
        inputs["references"] = [references[index] for index in rows]
    scores = judge([image for index in rows if (image := drawn_batch.images[index])], **inputs)
    _check(scores, spec, len(rows))
    return _spread(scores, rows, lacking)


def unjudged(judge: Judge, drawn_batch: BatchImages, error: str) -> pl.DataFrame:
    """Return the scores of a batch that could not be judged: nulls, and the error."""
    return _spread(judge([]), [], [error] * len(drawn_batch.batch))


def _lacking(
    index: int, spec: JudgeSpec, drawn_batch: BatchImages, references: Sequence[Image.Image | None]
) -> str | None:
    """Return why a picture cannot be judged."""
    if drawn_batch.images[index] is None:
        return drawn_batch.errors[index]
    if "reference" in spec.needs and references[index] is None:
        return "the unedited model's picture is missing"
    return None


def _spread(scores: pl.DataFrame, rows: Sequence[int], errors: Sequence[str | None]) -> pl.DataFrame:
    """Return the scores in their rows of the batch, nulls in the others, and the errors."""
    placed = scores.with_columns(pl.Series("row", rows, dtype=pl.Int64))
    whole = pl.DataFrame({"row": pl.Series(range(len(errors)), dtype=pl.Int64)})
    spread = whole.join(placed, on="row", how="left", maintain_order="left").drop("row")
    return spread.with_columns(pl.Series("error", errors, dtype=pl.String))


def _check(scores: pl.DataFrame, spec: JudgeSpec, pictures: int) -> None:
    name = spec.facts["name"]
    if len(scores) != pictures or tuple(scores.columns) != spec.columns:
        raise TurpentineError(
            f"The judge {name} gives {len(scores)} rows of {', '.join(scores.columns)} for {pictures} pictures."
        )
    for column in map(_flat, scores):
        if column.dtype.is_float() and not column.drop_nulls().is_finite().all():
            raise NotFinite(f"The judge {name} gives NaN or infinity in {column.name}.")


def _flat(column: pl.Series) -> pl.Series:
    """Return the numbers of a column, those within vectors one by one."""
    while isinstance(column.dtype, pl.Array | pl.List):
        column = column.explode()
    return column
