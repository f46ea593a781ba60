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
class GridColumn:
    """A column of pictures.

    Attributes:
        concept: What the lines are about.
        prompt: Of the pictures.
        seeds: Of the pictures.
    """

    concept: str
    prompt: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class GridRow:
    """The pictures of a method.

    Attributes:
        method: Its name.
        cells: For each column a picture for each seed, or a text that says why it is missing.
    """

    method: str
    cells: tuple[tuple[Shot | str, ...], ...]


@dataclass(frozen=True)
class Grid:
    """The pictures of a group of cases.

    Attributes:
        name: Of the group.
        should_show: Whether an edited model should show what the prompts ask for.
        columns: One for each concept.
        rows: One for each method and model.
        left_out: Number of concepts that are not shown.
    """

    name: str
    should_show: bool
    columns: tuple[GridColumn, ...]
    rows: tuple[GridRow, ...]
    left_out: int


def grids(results: pl.DataFrame, picture: Picture, amplifies: bool = False) -> list[Grid]:
    """Return a grid for each group of what is to change, and one for the first group of what is to stay.

    For each concept it shows the prompt and the seeds at which most methods fail, the worst first.

    Args:
        results: As `results.parquet` has them.
        picture: Returns a picture by its name.
        amplifies: Whether the edits are to make the concepts show more often, not less.
    """
    present = [group for group in GROUPS if group in set(results["group"])]
    preserved = [group for group in present if is_preserved(group)]
    return [
        _grid(results, group, picture, amplifies)
        for group in present
        if not is_preserved(group) or group in preserved[:1]
    ]


def _grid(results: pl.DataFrame, group: str, picture: Picture, amplifies: bool) -> Grid:
    should_show = is_preserved(group) or amplifies
    rows = results.filter(group=group).with_columns(_failed(should_show).alias("failed"))
    concepts = rows["concept"].unique(maintain_order=True).to_list()
    seeds = max(1, min(_EACH, _ACROSS // len(concepts)))
    columns = [_column(rows.filter(concept=concept), concept, seeds) for concept in concepts[:CONCEPTS]]
    methods = rows.select("model", "method").unique(maintain_order=True).rows()
    methods.sort(key=lambda each: each[1] != "")  # the model as it is comes first
    has_models = len({model for model, _ in methods}) > 1
    row_of = {tuple(row[key] for key in _KEY): row for row in rows.iter_rows(named=True)}
    grid_rows = tuple(
        GridRow(
            _name(model, method, has_models), tuple(_cell(row_of, model, method, column, picture) for column in columns)
        )
        for model, method in methods
    )
    return Grid(heading(group), should_show, tuple(columns), grid_rows, max(0, len(concepts) - CONCEPTS))


_KEY = ("model", "method", "concept", "prompt", "seed")


def _failed(should_show: bool) -> pl.Expr:
    """Return an expression for whether an edited model's picture shows the opposite of what it should."""
    is_wrong = ~pl.col("hit") if should_show else pl.col("hit")
    return (pl.col("method") != "") & is_wrong.fill_null(False)


def _column(rows: pl.DataFrame, concept: str, seeds: int) -> GridColumn:
    prompt = _worst(rows, "prompt")[0]
    return GridColumn(concept, prompt, tuple(_worst(rows.filter(prompt=prompt), "seed")[:seeds]))


def _worst(rows: pl.DataFrame, by: str) -> list[Any]:
    """Return what fails most often first; else the order is the rows'."""
    counted = rows.group_by(by, maintain_order=True).agg(pl.col("failed").sum())
    return counted.sort("failed", descending=True, maintain_order=True)[by].to_list()


def _name(model: str, method: str, has_models: bool) -> str:
    name = method or UNEDITED
    return f"{name}, {model}" if has_models else name


def _cell(
    row_of: dict[tuple[Any, ...], dict[str, Any]], model: str, method: str, column: GridColumn, picture: Picture
) -> tuple[Shot | str, ...]:
    keys = [(model, method, column.concept, column.prompt, seed) for seed in column.seeds]
    return tuple(_shot(row_of[key], picture) if key in row_of else "not asked for" for key in keys)


def _shot(row: dict[str, Any], picture: Picture) -> Shot | str:
    if row["image"] is None:
        return row["error"] or "not drawn"
    image = picture(row["image"])
    seen = row[row["attribute"]] or "none" if row["attribute"] else ""
    return Shot(data_uri(image, _LARGEST), is_small(image), row["hit"], str(seen), row.get("broken"))
