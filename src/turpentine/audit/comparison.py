"""Audits of several edits side by side, in one table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from turpentine.audit.audited import GONE, OTHERWISE, Audited
from turpentine.audit.damage import OTHERS
from turpentine.core.errors import BadArgument
from turpentine.core.finding import TableFinding
from turpentine.stats.intervals import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECORD, TABLE = "comparison.json", "comparison.parquet"
EDITED_FROM_ORACLE = "edited from the oracle"
SCHEMA = {
    **{"edit": pl.String, "verdict": pl.String, "by_name": pl.Float64, "strongest": pl.String},
    **{"recovery": pl.Float64, "low": pl.Float64, "high": pl.Float64, "fade": pl.Float64, "depth": pl.Float64},
    **{"others": pl.Float64, "others_low": pl.Float64, "others_high": pl.Float64, "within": pl.String},
    **{"fid": pl.Float64, "weights": pl.Int64},
}


@dataclass(frozen=True, eq=False)
class Comparison(TableFinding):
    """Audits of several edits.

    Args:
        audits: By the edit's name, in order.
        title: Of all.

    Raises:
        BadArgument: There are fewer than two.
    """

    audits: Mapping[str, Audited]
    title: str = "audits"

    def __post_init__(self) -> None:
        if len(self.audits) < 2:
            raise BadArgument("There is nothing to compare: give two audits or more.")

    @property
    def table(self) -> pl.DataFrame:  # type: ignore[override]
        """A row for each edit.

        `edit`, `verdict`, `by_name` (the rate), `strongest` (the attack with the largest R), `recovery` (its R), `low`
        and `high`, `fade` from the oracle and `depth` (null without one), `others` (by how much other things are seen
        more often), `others_low`, `others_high`, `within` (3 points: "yes", "no", or how many pictures would decide),
        `fid` from the original's pictures, `weights` that it changes.
        """
        rows = [_row(name, audited) for name, audited in self.audits.items()]
        return pl.DataFrame(rows, schema=SCHEMA, orient="row")

    @property
    def exit_code(self) -> int:
        """0 where all are gone, 3 otherwise."""
        return GONE if all(each.exit_code == GONE for each in self.audits.values()) else OTHERWISE

    def plot(self) -> Figure:
        """Plot the largest R of each edit with its interval."""
        from matplotlib.figure import Figure

        table = self.table.drop_nulls("recovery")
        figure = Figure(figsize=(6, 1.2 + 0.35 * len(table)), layout="constrained")
        axes = figure.subplots()
        values = table["recovery"].to_numpy()
        reach = [values - table["low"].to_numpy(), table["high"].to_numpy() - values]
        axes.errorbar(values, range(len(table)), xerr=reach, fmt="o")
        axes.axvline(0, color="gray", linewidth=0.8)
        axes.axvline(1, color="gray", linewidth=0.8, linestyle=":")
        axes.set(title=self.title, xlabel="R of the strongest attack: 0 as the reference, 1 as the original")
        axes.set_yticks(range(len(table)), table["edit"].to_list())
        axes.invert_yaxis()
        return figure

    def summary(self) -> str:
        """Say each verdict."""
        verdicts = [f"{name}: {audited.verdict}" for name, audited in self.audits.items()]
        return f"{self.title}. {'; '.join(verdicts)}."

    def numbers(self) -> dict[str, Any]:
        """Return everything, as JSON has it."""
        audits = {name: audited.numbers() for name, audited in self.audits.items()}
        return {"title": self.title, "exit_code": self.exit_code, "table": self.table.to_dicts(), "audits": audits}

    def write(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write `comparison.json` and the table, each whole or not at all, and return their paths.

        Args:
            folder: Where; made if it is not there.

        Raises:
            OSError: As the file system does.
        """
        folder = Path(folder)
        record = self.save_numbers(folder / RECORD)
        self.save(folder / TABLE)
        return [record, folder / TABLE]


def largest(audited: Audited) -> tuple[str | None, Difference | None]:
    """Return the attack with the largest R, and its R; None where there is none."""
    shares = [(each.arms.attack, each.arms.recovery) for each in audited.ruling.evidence[1:] if each.arms.recovery]
    return max(shares, key=lambda each: each[1].value if each[1] else 0.0, default=(None, None))


def _row(name: str, audited: Audited) -> list[Any]:
    attack, share = largest(audited)
    rates = {row["measure"]: row for row in (audited.damage.table.rows(named=True) if audited.damage else [])}
    others, fid = rates.get(OTHERS, {}), rates.get("FID from the original's", {})
    spans = share or (None, None, None)
    fade = audited.deep.get(EDITED_FROM_ORACLE, {}).get("value")
    return [
        *(name, audited.verdict, audited.ruling.evidence[0].arms.edited.rate, attack, *spans, fade, audited.depth),
        *(others.get("change"), others.get("low"), others.get("high"), others.get("whole"), fid.get("edited")),
        audited.damage.size.get("weights") if audited.damage else None,
    ]
