"""R against budget: what an attack recovers above the reference by what it had spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from turpentine.stats.equivalence import Outcomes, pooled
from turpentine.stats.recovery import recovery

UNITS = ("forward", "text", "judged")


def recovery_curve(edited: pl.DataFrame, references: Sequence[pl.DataFrame], original: pl.DataFrame) -> pl.DataFrame:
    """Return the excess recovery at each budget at which the attack on the edited model had a stage.

    Each other arm counts as far as it had come within that budget.

    Args:
        edited: The table of an `Attacked`, of the edited model.
        references: Of the oracles, or of what was never seen.
        original: Of the model without the edit.

    Returns:
        A row for each stage: `unit` ("forward", "text" or "judged"), `spent`, `recovery`, `low`, `high`; no row where
        an arm had not begun, or the original was not above the reference.

    Example:
        >>> def stages(*hits: int) -> pl.DataFrame:
        ...     spent = [10 * (place + 1) for place in range(len(hits))]
        ...     return pl.DataFrame({"forward": spent, "text": 0, "judged": 0, "hits": list(hits), "n": 50})
        >>> recovery_curve(stages(0, 25), [stages(0, 0)], stages(50, 50)).select("spent", "recovery").rows()
        [(10, 0.0), (20, 0.5)]
    """
    unit = next((each for each in UNITS if edited[each].max()), UNITS[0])
    rows: list[tuple[str, int, float, float, float]] = []
    for spent in dict.fromkeys(edited[unit].to_list()):
        arms = [_within(each, unit, spent) for each in (edited, original, *references)]
        if None in arms:
            continue
        own, base, *others = [each for each in arms if each is not None]
        share = recovery(own, pooled(others), base)
        if share is not None:
            rows.append((unit, spent, *share))
    schema: dict[str, Any] = {"unit": pl.String, "spent": pl.Int64}
    return pl.DataFrame(rows, schema=schema | dict.fromkeys(("recovery", "low", "high"), pl.Float64), orient="row")


def _within(stages: pl.DataFrame, unit: str, spent: int) -> Outcomes | None:
    """Return the outcomes of the last stage within a budget; of one that spends nothing, the last."""
    within = stages.filter(pl.col(unit) <= spent)
    if within.is_empty():
        return None
    row = within.row(-1, named=True)
    return Outcomes((True,) * row["hits"] + (False,) * (row["n"] - row["hits"]))
