"""The page of several audits: a line for each edit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from turpentine.audit.comparison import Comparison
from turpentine.core.atomic_files import write_text_whole
from turpentine.core.formatting import percent, points_with_span
from turpentine.report.audit_page import recovery_text
from turpentine.report.pictures import plot_of
from turpentine.report.template import fill
from turpentine.stats.intervals import Difference


def write_comparison_page(comparison: Comparison, path: Path, *, pages: Mapping[str, str], command: str = "") -> Path:
    """Write the page of several audits as one HTML file, whole or not at all, and return its path.

    Args:
        comparison: The audits.
        path: Of the file.
        pages: Where each edit's own page is, from this one.
        command: The command line, to print on the page.

    Raises:
        OSError: As the file system does.
    """
    html = fill(
        "comparison_page.html",
        title=comparison.title,
        rows=[(pages[name], name, cells) for name, cells in _rows(comparison).items()],
        picture=plot_of(comparison.plot()),
        facts={name: each.numbers()["protocol_sha256"][:16] for name, each in comparison.audits.items()},
        command=command,
    )
    return write_text_whole(path, html)


def _rows(comparison: Comparison) -> dict[str, list[str]]:
    """Return the cells of each edit's line, in words."""
    rows = {}
    for row in comparison.table.rows(named=True):
        share = None if row["recovery"] is None else Difference(row["recovery"], row["low"], row["high"])
        others = None if row["others"] is None else Difference(row["others"], row["others_low"], row["others_high"])
        rows[row["edit"]] = [
            row["verdict"],
            percent(row["by_name"]),
            row["strongest"] or "",
            recovery_text(share) if share else "",
            "" if row["fade"] is None else f"{row['fade']:.4f}".replace("-", "−"),
            "" if row["depth"] is None else f"{row['depth']:.2f}",
            points_with_span(others) if others else "",
            row["within"] or "",
            "" if row["fid"] is None else f"{row['fid']:.3g}",
            "" if row["weights"] is None else f"{row['weights']:,}",
        ]
    return rows
