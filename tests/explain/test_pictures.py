"""Pictures of findings at the size of the largest models, where labels would not fit: from tables by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from PIL import Image

from turpentine.explain.contributions import ContributionsFinding
from turpentine.explain.dynamics import CHANGE, NAMED, UPDATE, WORDS, DynamicsFinding
from turpentine.explain.heads import HeadsFinding
from turpentine.explain.trace import TraceFinding
from turpentine.models import Site, Sites
from turpentine.stats.intervals import Estimate

NOWHERE = Sites((), ())
ONE = Site("unet.one", "cross-attention", "UP4", 8, "module")


def unfolding(modules: int, steps: int) -> DynamicsFinding:
    sites = [(CHANGE, ""), (WORDS, ""), *((UPDATE, f"UP{number}") for number in range(modules))]
    rows = [(measure, label, "", label, step, 0.2, 0.1, 0.3, 2) for measure, label in sites for step in range(steps)]
    names = ["measure", "site", "kind", "label", "step", "value", "low", "high", "n"]
    return DynamicsFinding(
        pl.DataFrame(rows, names, orient="row"), NOWHERE, "", np.ones((steps, 2, 2)), {}, [Image.new("RGB", (8, 8))]
    )


def test_steps_are_counted_from_one_as_in_the_strip() -> None:
    curves = unfolding(3, 4).plot().axes[-3:]
    assert all(list(line.get_xdata()) == [1, 2, 3, 4] for axis in curves for line in axis.get_lines())
    assert all(float(tick).is_integer() for axis in curves for tick in axis.get_xticks())


def test_a_level_curve_is_inside_of_its_panel() -> None:
    found = unfolding(1, 4)
    level = found.table.with_columns(pl.col("value").alias("low"), pl.col("value").alias("high"))
    for axis in replace(found, table=level).plot().axes[-3:]:
        bottom, top = axis.get_ylim()
        assert bottom == 0 and top > 0.205


@pytest.mark.parametrize("modules", [1, NAMED, NAMED + 1, 70])
def test_no_more_curves_are_named_than_fit(modules: int) -> None:
    axis = unfolding(modules, 2).plot().axes[-2]
    assert len(axis.get_lines()) == modules
    named = [text.get_text() for text in axis.get_legend().get_texts()]
    assert named[0] == "UP0"
    assert len(named) == math.ceil(modules / math.ceil(modules / NAMED)) <= NAMED


@pytest.mark.parametrize("modules", [1, 16, 70])
def test_a_trace_has_room_for_each_label(modules: int) -> None:
    rows = [(f"s{number}", "resnet", "", 0.1, 0.0, 0.2, 0.5, 8) for number in range(modules)]
    table = pl.DataFrame(rows, ["site", "kind", "label", "effect", "low", "high", "restored", "n"], orient="row")
    figure = TraceFinding(table, NOWHERE, "church", Estimate(1.0, 1.0, 1.0), Estimate(0.0, 0.0, 0.0)).plot()
    assert not overlapping(figure)


@pytest.mark.parametrize(("modules", "heads"), [(16, 1), (16, 2), (70, 20)])
def test_heads_have_room_for_each_label_and_whole_numbers(modules: int, heads: int) -> None:
    keys = [(f"DOWN{at}", head, part) for at in range(modules) for head in range(heads) for part in ("key", "value")]
    table = pl.DataFrame(
        [(label, label, head, part, 0.1, 0.0, 0.2) for label, head, part in keys],
        ["site", "label", "head", "part", "score", "low", "high"],
        orient="row",
    )
    points, axes = dict.fromkeys(keys, np.eye(4)), dict.fromkeys(keys, np.eye(4)[:, :2])
    of, names = np.array([0, 0, 1, 1]), ["one", "other"]
    figure = HeadsFinding(table, NOWHERE, "", points, axes, list("abcd"), of, names, chance=0.5, p=0.1).plot()
    assert not overlapping(figure)
    assert all(float(tick).is_integer() for axis in figure.axes[:2] for tick in axis.get_yticks())


def test_a_long_prompt_keeps_to_its_picture() -> None:
    prompt = "a painting of a church in noto style on a blue background"
    rows = pl.DataFrame(
        [(prompt, 0, ONE.name, 1.0, 2.0)], ["prompt", "seed", "site", "inside", "outside"], orient="row"
    )
    images, heats = [Image.new("RGB", (8, 8))], {ONE.name: [np.eye(4)]}
    figure = ContributionsFinding(rows, Sites((ONE,), (ONE,)), "", rows, heats, images).plot()
    figure.draw_without_rendering()
    title, other = (axis.title.get_window_extent() for axis in figure.axes[:2])
    assert title.x0 >= 0 and title.x1 < other.x0


def overlapping(figure) -> bool:
    """Do labels of two neighbouring ticks of an axis overlap?"""
    figure.draw_without_rendering()
    boxes = [[label.get_window_extent() for label in axis.get_xticklabels()] for axis in figure.axes]
    return any(left.x1 > right.x0 for row in boxes for left, right in pairwise(row))
