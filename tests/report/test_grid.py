from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from PIL import Image

from turpentine.report.gallery import Shot
from turpentine.report.grid import CONCEPTS, Grid, grids

COLUMNS = (
    "model",
    "method",
    "concept",
    "group",
    "prompt",
    "seed",
    "attribute",
    "object",
    "image",
    "error",
    "hit",
    "broken",
)


def row(method: str, prompt: str, seed: int, hit: bool | None, group: str = "erased", concept: str = "church") -> Any:
    image, error = (None, "NaN") if hit is None else (f"{method} {prompt} {seed}", None)
    return ("emoji", method, concept, group, prompt, seed, "object", "church" if hit else None, image, error, hit, None)


def made(*rows: Any, amplifies: bool = False) -> list[Grid]:
    asked: list[str] = []

    def picture(name: str) -> Image.Image:
        asked.append(name)
        return Image.new("RGB", (32, 32))

    found = grids(pl.DataFrame(list(rows), schema=COLUMNS, orient="row"), picture, amplifies)
    assert len(asked) == sum(
        isinstance(shot, Shot) for grid in found for line in grid.rows for c in line.cells for shot in c
    )
    return found


@pytest.mark.parametrize(("amplifies", "first"), [(False, 2), (True, 0)])
def test_the_worst_prompt_and_seeds_come_first_and_are_the_same_for_all(amplifies: bool, first: int) -> None:
    shown = {"uce": [False, False, True], "esd-x": [False, True, True]}  # by seed
    rows = [row(method, "church", seed, hit) for method, hits in shown.items() for seed, hit in enumerate(hits)]
    rows += [row("", "church", seed, True) for seed in range(3)]
    rows += [row(method, "a church", seed, amplifies) for method in ("uce", "esd-x", "") for seed in range(3)]
    (grid,) = made(*rows, amplifies=amplifies)
    (column,) = grid.columns
    assert column.prompt == "church"
    assert column.seeds[0] == first
    assert [line.method for line in grid.rows] == ["unedited", "uce", "esd-x"]
    hits = {line.method: [shot.hit for shot in line.cells[0] if isinstance(shot, Shot)] for line in grid.rows}
    assert hits["esd-x"] == [shown["esd-x"][seed] for seed in column.seeds]
    assert grid.should_show == amplifies


def test_of_what_is_to_stay_one_group_is_shown_and_a_miss_is_the_failure() -> None:
    rows = [row("uce", "a dog", seed, seed != 1, "neighbour") for seed in range(3)]
    rows += [row("uce", "a cat", seed, True, "other") for seed in range(3)]
    (grid,) = made(*rows)
    assert (grid.name, grid.should_show) == ("Nearest to it", True)
    assert grid.columns[0].seeds[0] == 1


def test_an_error_stands_in_its_pictures_place() -> None:
    (grid,) = made(row("uce", "church", 0, None), row("uce", "church", 1, False))
    assert [shot if isinstance(shot, str) else shot.seen for shot in grid.rows[0].cells[0]] == ["NaN", "none"]


def test_many_concepts_have_one_seed_each_and_the_rest_is_counted() -> None:
    rows = [row("uce", f"c{n}", seed, True, concept=f"c{n}") for n in range(CONCEPTS + 2) for seed in range(3)]
    (grid,) = made(*rows)
    assert (len(grid.columns), grid.left_out) == (CONCEPTS, 2)
    assert all(len(column.seeds) == 1 for column in grid.columns)
