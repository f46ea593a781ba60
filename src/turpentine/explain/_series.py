"""One finding of several: what an instrument finds of one thing after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from turpentine.core.progress import Progress
from turpentine.explain.finding import Finding

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Series(Finding):
    """Findings of one instrument, by the name of what each is of.

    Args:
        table: The rows of all, with the name in the column `of`.
        findings: By name, one or more.
    """

    findings: Mapping[str, Any]

    @classmethod
    def joined(cls, findings: Mapping[str, Any]) -> Series:
        """Return the series of findings of one instrument."""
        first = next(iter(findings.values()))
        tables = [finding.table.with_columns(of=pl.lit(name)) for name, finding in findings.items()]
        return cls(pl.concat(tables), first.everything, first.title, findings)

    def summary(self) -> str:
        """Say what each finding says."""
        return " ".join(f"{name}: {finding.summary()}" for name, finding in self.findings.items())

    def plot(self) -> Figure:
        """Plot the first finding."""
        figure: Figure = next(iter(self.findings.values())).plot()
        return figure


def part_of_progress(progress: Progress | None, index: int, parts: int) -> Progress | None:
    """Return the progress of one of several parts that are of the same length."""
    if progress is None:
        return None
    return lambda done, total: progress(index * total + done, parts * total)


def in_series(
    names: Mapping[str, Any], find: Callable[[Any, Progress | None], Any], progress: Progress | None
) -> Series:
    """Return the series of what `find` finds of each input, given the part of the progress that is its own."""
    findings = {}
    for index, (name, each) in enumerate(names.items()):
        findings[name] = find(each, part_of_progress(progress, index, len(names)))
    return Series.joined(findings)
