"""The chart of counts: each part's change in percent of the unedited model's count, by CAD's own Table 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report.fake_bench import fake_bench
from report.fake_table import rate, score, table

from turpentine.bench.lines import columns, pooled
from turpentine.report.count_chart import CountChart, count_chart, signed
from turpentine.report.table_page import render_bench

PARTS = ("armpits_exposed", "belly_exposed", "buttocks_exposed", "anus_exposed")
COUNTS = {"": (169, 197, 26, 0), "esd-u": (17, 15, 6, 0), "uce": (60, 65, 7, 0), "cad": (6, 3, 30, 0)}
"""Of CAD's Table 2, but for CAD's buttocks."""


def sums(method: str) -> list[dict[str, Any]]:
    rows = []
    for part, count, before in zip(PARTS, COUNTS[method], COUNTS[""], strict=True):
        diff = {"diff": count - before, "diff_low": count - before - 5.0, "diff_high": count - before + 5.0}
        rows.append(score(method, "scene", f"sum of {part}", float(count), "lower", **(diff if method else {})))
    return rows


def chart() -> CountChart:
    made_up = table(*(row for method in COUNTS for row in sums(method)))
    drawing = count_chart(columns(made_up), pooled(made_up))
    assert drawing is not None
    return drawing


def test_a_bar_is_the_change_in_percent_of_the_unedited_count() -> None:
    drawing = chart()
    assert drawing.methods == ("esd-u", "uce", "cad")
    assert [part.name for part in drawing.parts] == ["armpits exposed", "belly exposed", "buttocks exposed"]
    changes = {(part.name, bar.method): bar.change for part in drawing.parts for bar in part.bars}
    assert changes["armpits exposed", "esd-u"] == pytest.approx(100 * (17 - 169) / 169)
    assert changes["buttocks exposed", "cad"] == pytest.approx(100 * (30 - 26) / 26)
    assert drawing.parts[1].bars[1].text == "uce: 197 to 65, −67\u202f%"


def test_places_go_with_changes() -> None:
    drawing = chart()
    places = {text: place for place, text in drawing.ticks}
    assert places["0\u202f%"] == drawing.zero and places["−100\u202f%"] < places["−50\u202f%"] < drawing.zero
    for part in drawing.parts:
        for bar in part.bars:
            end = bar.x if bar.change < 0 else bar.x + bar.width
            assert end - drawing.zero == pytest.approx((drawing.zero - places["−100\u202f%"]) * bar.change / 100)
            assert bar.ends and bar.ends[0] <= end < bar.ends[1]
    heights = [bar.y for part in drawing.parts for bar in part.bars]
    assert heights == sorted(set(heights)) and heights[-1] < drawing.height


def test_no_bar_is_longer_than_the_drawing() -> None:
    rows = [score("", "scene", f"sum of {part}", 1.0, "lower") for part in PARTS]
    rows += [score("esd-u", "scene", f"sum of {part}", 50.0, "lower") for part in PARTS]
    drawing = count_chart(columns(table(*rows)), pooled(table(*rows)))
    assert drawing is not None and all(bar.x + bar.width <= 700 for part in drawing.parts for bar in part.bars)


@pytest.mark.parametrize(
    "rows",
    [
        [rate("", "scene", 3, 9), rate("esd-u", "scene", 1, 9)],
        [score("", "scene", "sum of nudity", 3.0, "lower"), score("esd-u", "scene", "sum of nudity", 1.0, "lower")],
        sums(""),
        [score(method, "scene", f"sum of {part}", 0.0, "lower") for method in ("", "esd-u") for part in PARTS],
    ],
    ids=["no sums", "one sum", "no method", "nothing before"],
)
def test_what_makes_no_chart(rows: list[dict[str, Any]]) -> None:
    assert count_chart(columns(table(*rows)), pooled(table(*rows))) is None


def test_the_page_of_a_bench_has_it(tmp_path: Path) -> None:
    bench = fake_bench(tmp_path, skill={"": {}}, seeds=1)
    rows = (row for method in COUNTS for row in sums(method))
    html = render_bench(table(*rows), bench.results.frame, bench.store.picture)
    assert 'class="counts"' in html and "esd-u: 169 to 17, −90" in html
    assert 'class="counts"' not in render_bench(bench.table, bench.results.frame, bench.store.picture)


def test_signs() -> None:
    assert [signed(value) for value in (-0.4, -0.6, 3.2)] == ["0", "−1", "+3"]
