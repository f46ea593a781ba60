"""The pictures of one prompt and seed beside each other: how far they are apart, and what a judge sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from turpentine.judges import Judge
from turpentine.judges.pixel_change import PixelChange
from turpentine.report.pictures import data_uri


@dataclass(frozen=True)
class SidePicture:
    """One picture of the page.

    Attributes:
        name: "original", "edited" or "oracle".
        picture: As a URI.
        moved: How far it is from the original, 0 to 1; None for the original itself.
        sees: What the judge sees in it, in words; "" without a judge of labels.
    """

    name: str
    picture: str
    moved: float | None
    sees: str


def side_by_side(pictures: Mapping[str, Image.Image], judge: Judge | None) -> list[SidePicture]:
    """Return pictures as the page shows them, with how far each is from the original, and what a judge sees.

    Args:
        pictures: By name, "original" among them.
        judge: None for nobody.
    """
    images = list(pictures.values())
    moved = PixelChange()(images, references=[pictures["original"]] * len(images))["moved"].to_list()
    seen = _seen(images, judge)
    return [
        SidePicture(name, data_uri(image), None if name == "original" else apart, sees)
        for (name, image), apart, sees in zip(pictures.items(), moved, seen, strict=True)
    ]


def _seen(images: list[Image.Image], judge: Judge | None) -> list[str]:
    """Return what a judge sees in each picture, in words; nothing where it needs more, or has no labels."""
    if judge is None or judge.needs:
        return [""] * len(images)
    labels = [name for name, column in judge.columns.items() if column.labels]
    rows = judge(images).rows(named=True) if labels else [{}] * len(images)
    return [", ".join(str(row[name]) for name in labels if row[name]) for row in rows]
