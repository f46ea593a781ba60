"""A leaderboard as text: its cells, and that its own CSV file gives the same table."""

from __future__ import annotations

import io

import polars as pl

from turpentine.audit.leaderboard import SCHEMA
from turpentine.core.csv_text import csv_text
from turpentine.report.leaderboard_files import HEADINGS, board_lines, board_markdown

FULL = {
    **{"model": "emoji", "method": "uce", "concepts": 2, "pictures": 60},
    **{"erased": 0.1, "erased_low": 0.02, "erased_high": 0.3, "kept": 0.98, "kept_low": 0.9, "kept_high": 1.0},
    **{"attack": "cce", "attacked": 0.5, "attacked_low": 0.0, "attacked_high": 1.0},
    **{"audited": "hidden 2", "seconds": 0.05, "bytes": 412_000},
}
ROWS = pl.DataFrame([{"model": "emoji", "method": "", "concepts": 2, "pictures": 60, "kept": 1.0}, FULL], schema=SCHEMA)


def test_a_line_has_what_there_is_and_a_dash_for_the_rest() -> None:
    rows = ROWS.with_columns(pl.col("kept_low", "kept_high").fill_null(1.0))
    plain, edited = board_lines(rows)
    assert plain == ("unedited", "-", "100 (100–100)", "-", "-", "-", "-")
    assert edited == ("uce", "10 (2–30)", "98 (90–100)", "50 (0–100) by cce", "hidden 2", "under 1 s", "412.0 kB")
    assert len(edited) == len(HEADINGS)


def test_several_models_stand_before_their_methods() -> None:
    rows = pl.concat([ROWS, ROWS.with_columns(model=pl.lit("other"))]).drop_nulls("erased")
    assert [line[0] for line in board_lines(rows)] == ["emoji, uce", "other, uce"]


def test_the_file_for_machines_gives_the_table_for_readers() -> None:
    rows = ROWS.drop_nulls("erased")
    again = pl.read_csv(io.StringIO(csv_text(rows)), schema=SCHEMA)
    assert board_markdown(again) == board_markdown(rows) and again.equals(rows)
