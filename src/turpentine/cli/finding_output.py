"""What a command leaves of a finding: its table, its plot and its own pictures as files, and its words printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from turpentine.cli.terminal import number_cell, plain, say, say_json, say_prose, show_table
from turpentine.core.formatting import counted

if TYPE_CHECKING:
    import polars as pl

    from turpentine.explain import Finding
    from turpentine.judges import Judge

ROWS_SHOWN = 12
ROWS_IN_DETAIL = 400


@dataclass(frozen=True)
class FindingOutput:
    """Where a finding goes.

    Args:
        folder: For its files.
        json: Print one JSON document.
        details: Print more rows of its table.
    """

    folder: Path
    json: bool
    details: bool

    def write(self, finding: Finding, cache: Path | None, judge: Judge | None) -> None:
        """Write the files of a finding, and print it.

        Args:
            finding: What an instrument found.
            cache: The folder of the run's parts, of which the drawings are no longer needed.
            judge: Who judged the pictures, if anybody did.
        """
        files = self._write_files(finding)
        if cache is not None:
            from turpentine.core.atomic_files import discard

            discard(cache, "*.safetensors")
        if self.json:
            by = {"judge": _title(judge)} if judge else {}
            say_json({"table": finding.table.to_dicts(), **finding.numbers(), **by, "files": [*map(str, files)]})
            return
        text = finding.summary()
        if text:
            say_prose(f"{plain(text)}\n")
        _show(finding.table, ROWS_IN_DETAIL if self.details else ROWS_SHOWN)
        say()
        if judge:
            say(f"Judged by {plain(_title(judge))}.\n")
        for path in files[:2]:
            say(plain(str(path)))

    def _write_files(self, finding: Finding) -> list[Path]:
        """Return the paths of the table, the plot and the finding's own pictures."""
        from turpentine.explain._plots import save_plot

        table, plot = self.folder / "table.parquet", self.folder / "plot.png"
        images = finding.save_images(self.folder)
        finding.save(table)
        save_plot(finding.plot(), plot)
        return [table, plot, *images]


def _title(judge: Judge) -> str:
    from turpentine.judges.worlds import title_of

    return title_of(judge.name, judge.settings)


def _show(table: pl.DataFrame, rows: int) -> None:
    """Print the first rows of the table, without empty columns, and without sites' long names if labels will do."""
    brief = table.select(column for column in table if column.null_count() < len(column))
    brief = brief.drop("site") if "label" in table.columns and (table["label"] != "").all() else brief
    show_table(brief.columns, [[number_cell(value) for value in row] for row in brief.head(rows).rows()])
    if len(brief) > rows:
        say(f"... {counted(len(brief) - rows, 'more row')} with --details, or in the table's file")
