"""The pictures of a page: before and after of each prompt, a pair for each seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from turpentine.bench import ErasureResult, Measurement
from turpentine.judges.base import next_likeliest
from turpentine.report.pictures import data_uri, is_small
from turpentine.tasks.groups import heading, is_preserved

LIMIT = 8
"""Seeds of a prompt on a page; the rest is in the result's folder."""


@dataclass(frozen=True)
class Shot:
    """A picture.

    Attributes:
        uri: Holds the picture.
        is_small: Whether it is shown pixel by pixel.
        hit: Whether the judge saw what was expected; None without ground truth.
        seen: The judge's label in the case's column.
        broken: "blank" or "noise"; None for a sound picture.
    """

    uri: str
    is_small: bool
    hit: bool | None
    seen: str
    broken: str | None


@dataclass(frozen=True)
class Strip:
    """The pictures of a prompt.

    Attributes:
        prompt: Of the pictures.
        pairs: Seed, before and after; a text in a picture's place says why it is missing.
        all: How many seeds there are.
    """

    prompt: str
    pairs: tuple[tuple[int, Shot | str, Shot | str], ...]
    all: int


@dataclass(frozen=True)
class Card:
    """The pictures of a label.

    Attributes:
        label: Of the cases.
        strips: One for each prompt.
    """

    label: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Section:
    """The pictures of a group of cases.

    Attributes:
        name: Of the group.
        is_large: Whether its pictures are the page's point.
        cards: One for each label.
    """

    name: str
    is_large: bool
    cards: tuple[Card, ...]

    @property
    def seeds(self) -> int:
        """Pairs in its longest line; of few the page sets prompts beside each other."""
        return max(len(strip.pairs) for card in self.cards for strip in card.strips)


def sections(result: ErasureResult) -> list[Section]:
    """Return a section for each group; a prompt is shown once, in the first group that has it."""
    kind, seen_prompts = result.concepts[0].kind, set[str]()
    parts = []
    for rows in _parts(_side_by_side(result), "group"):
        new = rows.filter(~pl.col("prompt").is_in(list(seen_prompts)))
        seen_prompts |= set(new["prompt"])
        if len(new):
            group = new["group"][0]
            parts.append(Section(heading(group, kind), not is_preserved(group), tuple(_cards(result, new))))
    return parts


def _side_by_side(result: ErasureResult) -> pl.DataFrame:
    """Return the rows before, with those after in columns that end in _after; both have the same order."""
    return result.before.rows.hstack(result.after.rows.select(pl.all().name.suffix("_after")))


def _parts(rows: pl.DataFrame, column: str) -> list[pl.DataFrame]:
    return rows.partition_by(column, maintain_order=True)


def _cards(result: ErasureResult, rows: pl.DataFrame) -> Iterator[Card]:
    for part in _parts(rows, "label"):
        yield Card(part["label"][0], tuple(_strip(result, prompt) for prompt in _parts(part, "prompt")))


def _strip(result: ErasureResult, rows: pl.DataFrame) -> Strip:
    pairs = [
        (row["seed"], _shot(result.before, row, ""), _shot(result.after, row, "_after"))
        for row in rows.head(LIMIT).iter_rows(named=True)
    ]
    return Strip(rows["prompt"][0], tuple(pairs), len(rows))


def _shot(measured: Measurement, row: dict[str, Any], when: str) -> Shot | str:
    image = measured.images.get((row["prompt"], row["seed"]))
    if image is None:
        return row["error" + when] or "not drawn"
    return Shot(data_uri(image), is_small(image), row["hit" + when], _seen(row, when), row["broken" + when])


def _seen(row: dict[str, Any], when: str) -> str:
    """Return what the judge names in a case's column, where two things are asked for both; "" without ground truth."""
    attribute = row["attribute"]
    if attribute is None:
        return ""
    columns = [attribute, next_likeliest(row, attribute)] if row["group"] == "pair" else [attribute]
    return " and ".join(filter(None, (row[name + when] for name in columns))) or "none"
