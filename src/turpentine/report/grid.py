"""The pictures of a bench: methods down, concepts across, the same prompts and seeds in every row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl
from PIL import Image

from turpentine.bench.lines import UNEDITED
from turpentine.report.gallery import Shot
from turpentine.report.pictures import data_uri, is_small
from turpentine.tasks.groups import GROUPS, heading, is_preserved

CONCEPTS = 12
"""Concepts on a page; the pictures of the others are in the bench's folder."""

_ACROSS = 12
_EACH = 4
_LARGEST = 144  # pixels: they are shown at half of it

Picture: TypeAlias = Callable[[str], Image.Image]
"""A picture by its name, such as `store.picture`."""


@dataclass(frozen=True)
class Head:
    """What a column of pictures shows: a concept, the prompt and the seeds."""

    concept: str
    prompt: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class GridRow:
    """The pictures of a method, for each column one for each seed; a text where an error is in a picture's place."""

    method: str
    cells: tuple[tuple[Shot | str, ...], ...]


@dataclass(frozen=True)
class Grid:
    """The pictures of a group of cases.

    is_wanted: should an edited model show what they ask for? left_out: concepts that are not shown.
    """

    name: str
    is_wanted: bool
    heads: tuple[Head, ...]
    rows: tuple[GridRow, ...]
    left_out: int


def grids(results: pl.DataFrame, picture: Picture, amplifies: bool = False) -> list[Grid]:
    """A grid for each group of what is to change, and one for the first group of what is to stay.

    For each concept it shows the prompt and the seeds at which most methods fail, the worst first.
    results: as `results.parquet` has them. amplifies: is what the edits are for to be shown more often, not less?
    """
    present = [group for group in GROUPS if group in set(results["group"])]
    preserved = [group for group in present if is_preserved(group)]
    return [
        _grid(results, group, picture, amplifies)
        for group in present
        if not is_preserved(group) or group in preserved[:1]
    ]


def _grid(results: pl.DataFrame, group: str, picture: Picture, amplifies: bool) -> Grid:
    is_wanted = is_preserved(group) or amplifies
    rows = results.filter(group=group).with_columns(_failed(is_wanted).alias("failed"))
    concepts = rows["concept"].unique(maintain_order=True).to_list()
    seeds = max(1, min(_EACH, _ACROSS // len(concepts)))
    heads = [_head(rows.filter(concept=concept), concept, seeds) for concept in concepts[:CONCEPTS]]
    methods = rows.select("model", "method").unique(maintain_order=True).rows()
    methods.sort(key=lambda each: each[1] != "")  # the model as it is comes first
    has_models = len({model for model, _ in methods}) > 1
    row_of = {tuple(row[key] for key in _KEY): row for row in rows.iter_rows(named=True)}
    grid_rows = tuple(
        GridRow(_name(model, method, has_models), tuple(_cell(row_of, model, method, head, picture) for head in heads))
        for model, method in methods
    )
    return Grid(heading(group), is_wanted, tuple(heads), grid_rows, max(0, len(concepts) - CONCEPTS))


_KEY = ("model", "method", "concept", "prompt", "seed")


def _failed(is_wanted: bool) -> pl.Expr:
    """Does an edited model's picture not show what is wanted, or show what is not?"""
    is_wrong = ~pl.col("hit") if is_wanted else pl.col("hit")
    return (pl.col("method") != "") & is_wrong.fill_null(False)


def _head(rows: pl.DataFrame, concept: str, seeds: int) -> Head:
    prompt = _worst(rows, "prompt")[0]
    return Head(concept, prompt, tuple(_worst(rows.filter(prompt=prompt), "seed")[:seeds]))


def _worst(rows: pl.DataFrame, by: str) -> list[Any]:
    """What fails most often comes first; else the order is the rows'."""
    counted = rows.group_by(by, maintain_order=True).agg(pl.col("failed").sum())
    return counted.sort("failed", descending=True, maintain_order=True)[by].to_list()


def _name(model: str, method: str, has_models: bool) -> str:
    name = method or UNEDITED
    return f"{name}, {model}" if has_models else name


def _cell(
    row_of: dict[tuple[Any, ...], dict[str, Any]], model: str, method: str, head: Head, picture: Picture
) -> tuple[Shot | str, ...]:
    keys = [(model, method, head.concept, head.prompt, seed) for seed in head.seeds]
    return tuple(_shot(row_of[key], picture) if key in row_of else "not asked for" for key in keys)


def _shot(row: dict[str, Any], picture: Picture) -> Shot | str:
    if row["image"] is None:
        return row["error"] or "not drawn"
    image = picture(row["image"])
    seen = row[row["attribute"]] or "none" if row["attribute"] else ""
    return Shot(data_uri(image, _LARGEST), is_small(image), row["hit"], str(seen), row.get("broken"))
