from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import polars as pl
import pytest

from turpentine.bench.table import SCHEMA, Table
from turpentine.report.board import board
from turpentine.report.table_files import to_csv, to_latex, to_markdown, write_table

FACTS = {
    "steps": 20,
    "solver": "ddim",
    "guidance_scale": 4.0,
    "size": None,
    "seeds": [0, 1],
    "judges": [{"name": "emoji", "revision": "abcdef0123456789", "settings": {}}],
}
NASTY = "=1+1 & | <b> 50%_{x}\\"


def line(condition: str, method: str, concept: str, group: str, count: int, **others: object) -> dict[str, object]:
    plain = {
        "condition": condition,
        "model": "emoji",
        "method": method,
        "concept": concept,
        "group": group,
        "label": "",
    }
    rate = {
        "measure": "rate of hit",
        "better": "lower",
        "pictures": 100,
        "judged": 100,
        "hits": count,
        "value": count / 100,
    }
    state = {"broken": 0.02, "errors": 0, "protocol": "p"}
    return {**plain, **rate, "low": count / 200, "high": min(1, count / 50), **state, **others}


def score(value: float | None) -> dict[str, object]:
    return {"measure": "mean of clip", "hits": None, "value": value, "low": 31.1, "high": 31.5}


@pytest.fixture(scope="module")
def table() -> Table:
    rows = [
        line("a", "", "church", "erased", 80),
        line("a", "", "church", "erased", 0, **score(31.316)),
        line("b", "", NASTY, "erased", 40),
        line("c", "uce", "church", "erased", 3, diff=-0.77, broken=0.5),
        line("c", "uce", "church", "erased", 0, **score(None)),
        line("d", "uce", NASTY, "erased", 5),
        line("d", "uce", NASTY, "erased", 5, label="detail"),
        line("", "", "2 concepts", "erased", 60),
        line("", "", "2 concepts", "erased", 0, **score(31.316)),
        line("", "uce", "2 concepts", "erased", 4),
    ]
    return Table(pl.DataFrame(rows, schema=SCHEMA), "Toys & more", {"p": FACTS})


def test_a_board_has_a_line_for_each_method_and_concept_and_one_for_several(table: Table) -> None:
    shown = board(table)
    assert shown.headings == (
        "method",
        "concept",
        "Asked for by name, %",
        "Asked for by name: mean of clip",
        "broken, %",
    )
    assert shown.lines == (
        ("unedited", "church", "80 (40–100)", "31.3 (31.1–31.5)", "2"),
        ("unedited", NASTY, "40 (20–80)", "-", "2"),
        ("unedited", "2 concepts", "60 (30–100)", "31.3 (31.1–31.5)", "2"),
        ("uce", "church", "3 (2–6)", "-", "50"),
        ("uce", NASTY, "5 (2–10)", "-", "2"),
        ("uce", "2 concepts", "4 (2–8)", "-", "26"),
    )
    assert shown.strong == (2, 5)


def test_models_and_errors_are_shown_where_there_is_something_to_tell(table: Table) -> None:
    rows = table.rows.with_columns(
        model=pl.when(method="uce").then(pl.lit("other")).otherwise("model"),
        errors=pl.when(condition="d").then(7).otherwise("errors"),
    )
    shown = board(Table(rows, "", table.protocols))
    assert (shown.headings[0], shown.headings[-1]) == ("model", "errors")
    assert shown.lines[-1][0] == "other"
    assert [cells[-1] for cells in shown.lines] == ["0", "0", "0", "0", "7", "7"]


def test_csv_holds_all_rows_and_no_cell_is_a_formula(table: Table) -> None:
    found = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert list(found[0]) == list(SCHEMA)
    assert len(found) == len(table.rows)
    assert found[3]["diff"] == "-0.77"
    assert found[2]["concept"] == f"'{NASTY}"


STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "\n=", " \n\t=", "\x00=", "\ufeff=", "\u200b=", "\xa0@", "＝"]


@pytest.mark.parametrize("start", STARTS)
def test_what_a_spreadsheet_would_run_is_text(table: Table, start: str) -> None:
    rows = table.rows.head(1).with_columns(concept=pl.lit(f"{start}1+1"), label=pl.lit(" a = b"))
    (row,) = csv.DictReader(io.StringIO(to_csv(Table(rows, "", table.protocols)), newline=""))
    assert (row["concept"], row["label"]) == (f"'{start}1+1", " a = b")


def test_markdown_is_a_table_whose_cells_are_text(table: Table) -> None:
    text = to_markdown(table)
    rows = [row for row in text.splitlines() if row.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows]
    assert {len(row) for row in cells} == {5}
    assert r"=1+1 & \| \<b\> 50%\_{x}\\" in cells[3][1]
    assert cells[4][0] == " **unedited** "
    assert "20 steps of ddim, guidance 4, 2 seeds; judged by emoji (abcdef012345)" in text.replace("\\", "")


def test_latex_has_as_many_cells_in_each_line_and_escapes_what_is_a_mark(table: Table) -> None:
    text = to_latex(table)
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [row for row in body.splitlines() if "&" in row]
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {5}
    assert len(rows) == 7
    assert r"=1+1 \& | <b> 50\%\_\{x\}\textbackslash{}" in text
    assert r"Toys \& more" in text
    assert r"\begin{tabular}{lllll}" in text


def test_a_table_is_written_in_all_forms(table: Table, tmp_path: Path) -> None:
    written = write_table(table, tmp_path)
    assert [path.name for path in written] == ["table.csv", "table.md", "table.tex"]
    assert [path.read_text(encoding="utf-8") for path in written] == [
        form(table) for form in (to_csv, to_markdown, to_latex)
    ]
