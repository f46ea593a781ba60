"""Plots in the page's type and colours."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from turpentine.core.figures import CARD, CYCLE, INK, SOFT, dressed


def test_default_colours_become_the_pages_and_chosen_ones_stay() -> None:
    figure = Figure()
    axes = figure.subplots()
    lines = [*axes.plot([1, 2], label="a"), *axes.plot([2, 1], label="b"), *axes.plot([0, 0], color="#123456")]
    bars = axes.bar([0, 1], [1, 2])
    band = axes.fill_between([0, 1], [0, 0], [1, 1])
    axes.errorbar([0], [0], yerr=[[1], [1]], fmt="o")
    axes.set(title="Title", xlabel="rows", ylabel="rate")
    axes.legend()
    dressed(figure)
    assert [to_hex(line.get_color()) for line in lines] == [*CYCLE[:2], "#123456"]
    ours = set(CYCLE)
    assert {to_hex(bar.get_facecolor()) for bar in bars} <= ours and to_hex(band.get_facecolor()[0]) in ours
    assert axes.title.get_color() == INK and "Serif" in axes.title.get_family()[0]
    assert axes.xaxis.label.get_color() == axes.yaxis.label.get_color() == SOFT
    assert to_hex(figure.get_facecolor()) == to_hex(axes.get_facecolor()) == CARD
    assert not axes.spines["top"].get_visible() and axes.spines["left"].get_visible()


def test_a_picture_keeps_its_frame_and_figures_inside_are_dressed_too() -> None:
    figure = Figure()
    left, right = figure.subfigures(1, 2)
    picture, empty = left.subplots(), right.subplots()
    picture.imshow(np.zeros((2, 2)))
    dressed(figure)
    assert picture.spines["top"].get_visible() and not empty.spines["top"].get_visible()
    assert to_hex(left.get_facecolor()) == to_hex(right.get_facecolor()) == CARD


@pytest.mark.parametrize("draw", [lambda axes: axes.scatter([0, 1], [1, 0], c=[0.0, 1.0]), lambda axes: axes.hist([1])])
def test_what_has_colours_of_its_own_is_left(draw: object) -> None:
    figure = Figure()
    draw(figure.subplots())  # type: ignore[operator]
    dressed(figure)


def test_what_stands_around_all_axes_is_dressed_too() -> None:
    figure = Figure()
    inner = figure.subfigures()
    inner.subplots().plot([1, 2], label="a")
    title, below, beside = inner.suptitle("Title"), inner.supxlabel("rows"), inner.supylabel("rate")
    inner.get_axes()[0].errorbar([0], [0], yerr=[[1], [1]], fmt="o", label="b")
    legend = inner.legend()
    dressed(figure)
    assert {to_hex(line.get_color()) for line in legend.findobj(Line2D)} == set(CYCLE[:2])
    assert title.get_color() == INK and "Serif" in title.get_family()[0]
    assert below.get_color() == beside.get_color() == legend.get_texts()[0].get_color() == SOFT
    assert not legend.get_frame_on()
