"""A leaderboard as text: its cells, and that its own CSV file gives the same table."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from turpentine.audit.leaderboard import SCHEMA
from turpentine.core.csv_text import csv_text
from turpentine.report.leaderboard_files import CSV, HEADINGS, board_lines, board_markdown, read_leaderboard_rows

DOCS = Path(__file__).parents[2] / "docs"
OTHERS = dict.fromkeys(("kept", "kept_low", "kept_high"), 1.0)
FULL = {
    **{"model": "emoji", "method": "uce", "concepts": 2, "pictures": 60},
    **{"erased": 0.1, "erased_low": 0.02, "erased_high": 0.3, "kept": 0.98, "kept_low": 0.9, "kept_high": 1.0},
    **{"attack": "cce", "attacked": 0.5, "attacked_low": 0.0, "attacked_high": 1.0},
    **{"audited": "hidden 2", "seconds": 0.05, "bytes": 412_000},
}
ROWS = pl.DataFrame([{"model": "emoji", "method": "", "concepts": 2, "pictures": 60, **OTHERS}, FULL], schema=SCHEMA)


def test_a_line_has_what_there_is_and_a_dash_for_the_rest() -> None:
    plain, edited = board_lines(ROWS)
    assert plain == ("unedited", "-", "100 (100–100)", "-", "-", "-", "-")
    assert edited == ("uce", "10 (2–30)", "98 (90–100)", "50 (0–100) by cce", "hidden 2", "under 1 s", "412.0 kB")
    assert len(edited) == len(HEADINGS)


def test_several_models_stand_before_their_methods() -> None:
    rows = pl.concat([ROWS, ROWS.with_columns(model=pl.lit("other"))]).drop_nulls("erased")
    assert [line[0] for line in board_lines(rows)] == ["emoji, uce", "other, uce"]


def test_the_file_for_machines_gives_the_table_for_readers(tmp_path: Path) -> None:
    (tmp_path / CSV).write_text(csv_text(ROWS), encoding="utf-8")
    again = read_leaderboard_rows(tmp_path / CSV)
    assert again.equals(ROWS) and board_markdown(again) == board_markdown(ROWS)


def test_the_page_of_the_docs_has_the_table_of_its_data() -> None:
    rows = read_leaderboard_rows(DOCS / CSV)
    assert len(rows) > 1 and board_markdown(rows) in (DOCS / "leaderboard.md").read_text(encoding="utf-8")
