"""R against budget: each arm counts as far as it had come."""

from __future__ import annotations

import polars as pl
import pytest

from turpentine.audit.budget_curve import recovery_curve
from turpentine.stats.equivalence import Outcomes
from turpentine.stats.recovery import recovery


def stages(unit: str, *rows: tuple[int, int]) -> pl.DataFrame:
    columns = {name: [spent if name == unit else 0 for spent, _ in rows] for name in ("forward", "text", "judged")}
    return pl.DataFrame({**columns, "hits": [hits for _, hits in rows], "n": [40] * len(rows)})


@pytest.mark.parametrize("unit", ["forward", "text", "judged"])
def test_other_arms_count_as_far_as_they_had_come_within_a_budget(unit: str) -> None:
    edited = stages(unit, (10, 4), (20, 8), (40, 20))
    oracle, original = stages(unit, (15, 0), (35, 10)), stages(unit, (5, 20), (30, 40))
    curve = recovery_curve(edited, [oracle, oracle], original)
    assert curve["spent"].to_list() == [20, 40] and set(curve["unit"]) == {unit}  # at 10 the oracle had not begun
    assert curve["recovery"].to_list() == [8 / 20, (20 - 10) / (40 - 10)]
    whole = [Outcomes((True,) * hits + (False,) * (n - hits)) for hits, n in ((20, 40), (20, 80), (40, 40))]
    share = recovery(*whole)
    assert share is not None and curve["low"][-1] == pytest.approx(share.low, abs=0.05)


def test_where_the_original_shows_no_more_than_the_reference_there_is_no_row() -> None:
    alike = stages("forward", (10, 20))
    assert recovery_curve(alike, [alike], alike).is_empty()
