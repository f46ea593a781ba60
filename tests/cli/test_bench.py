from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from turpentine.cli import terminal

Command = Callable[..., tuple[int, str, str]]

TEXT = """\
title: A little bench
models: [emoji]
concepts: [church, dog]
methods:
  - uce
judges: [emoji]
seeds: 0-1
drawing: {steps: 1, batch_size: 4}
cases:
  - prompts: ["a {}"]
    column: object
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "little.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_bench_leaves_results_tables_and_a_page_and_goes_on_where_it_was(
    command: Command, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, printed, err = command("bench", str(file), "--out", str(out), "--seeds", "3,4")
    assert code == 0, err
    for name in ("results.parquet", "table.csv", "table.md", "table.tex", "report.html"):
        assert (out / name).is_file()
        assert str(out / name) in printed
    for text in ("A little bench", "unedited", "uce", "2 concepts", "95 % intervals"):
        assert text in printed
    rows = pl.read_parquet(out / "results.parquet")
    cards = sorted(path.name for path in (out / "cards").iterdir())
    edited = rows.filter(pl.col("method") != "").unique("condition")
    assert cards == sorted(f"uce-{row['concept']}-{row['condition']}.md" for row in edited.iter_rows(named=True))
    assert "erased\n" in (out / "cards" / cards[0]).read_text(encoding="utf-8")
    assert sorted(rows["seed"].unique()) == [3, 4]
    assert len(rows) == 4 * 2 * 2
    assert f"turpentine bench {file} --out {out} --seeds 3,4" in (out / "report.html").read_text(encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    code, printed, err = command("bench", str(file), "--out", str(out), "--seeds", "3,4", "--json")
    assert code == 0, err
    told = json.loads(printed)
    assert (code, told["errors"], told["title"]) == (0, 0, "A little bench")
    assert {row["method"] for row in told["rows"]} == {"", "uce"}
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before


def test_what_cannot_be_done_is_a_row_and_the_exit_code_says_so(command: Command, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sites = "methods=[{uce: {sites: NOWHERE}}]"
    code, printed, err = command("bench", str(file), "--out", str(out), "--seeds", "0", "--set", sites)
    assert code == 1
    assert "4 of 8 rows could not be drawn or judged" in err and "NOWHERE" in err and "--retry" in err
    assert "errors" in printed
    rows = pl.read_parquet(out / "results.parquet")
    assert rows.filter(pl.col("error").is_null())["method"].unique().to_list() == [""]


def test_a_dry_run_counts_and_writes_nothing(command: Command, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, printed, _ = command("bench", str(file), "--out", str(out), "--dry-run", "--json")
    told = json.loads(printed)
    assert code == 0
    whole, left = told["whole"], told["left"]
    assert [whole[key] for key in ("conditions", "pictures", "distinct", "edits")] == [4, 16, 12, 2]
    assert (left["pictures"], left["edits"], left["edit_seconds"]) == (12, 2, None)
    assert left["seconds"] > 0 and left["bytes"] > 0
    assert not out.exists()


def test_a_model_is_loaded_with_its_options(command: Command, file: Path, tmp_path: Path, tiny_folder: str) -> None:
    models = f"models=[{{{tiny_folder}: {{config: sd2}}}}]"
    tokens = ["--out", str(tmp_path / "out"), "--set", models, "--set", "judges=[picture statistics]"]
    code, _, err = command("bench", str(file), *tokens, "--set", "cases=[{prompts: ['a {}']}]", "--set", "measures=[]")
    assert code == 2 and "has its own configs: leave out config" in err
    assert not (tmp_path / "out").exists()


def test_the_benches_that_ship_are_listed(command: Command) -> None:
    code, printed, _ = command("bench", "--list")
    assert code == 0
    assert "emoji-objects" in printed and "i2p-nudenet" in printed and "Table 1" in printed
    rows = {row.pop("name"): row for row in json.loads(command("bench", "--list", "--json")[1])}
    assert len(rows) == 28
    assert all(row["title"] and row["source"] for row in rows.values())
    assert rows["i2p-nudenet-sd21"]["needs"] == {
        "models": ["stabilityai/stable-diffusion-2-1"],
        "networks": [],
        "extras": ["turpentine[nudenet]"],
        "files": ["i2p_benchmark.csv"],
        "folders": [],
    }


def test_the_list_is_readable_in_80_columns(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_WIDTH_OF_A_PIPE", 80)
    lines = command("bench", "--list")[1].splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "imagenette-amplify-sd21" in [line.strip() for line in lines]
    needs = [row["needs"] for row in json.loads(command("bench", "--list", "--json")[1])]
    names = [name for each in needs for kind in each.values() for name in kind]
    assert sorted(
        name for line in lines for name in dict.fromkeys(names) if name in re.split(", | ", line.strip())
    ) == sorted(names)  # none is broken


@pytest.mark.parametrize(
    ("flag", "way"),
    [
        (("--retry",), "by the same command"),
        (("--workers", "2"), "share the work"),
        (("--backend", "ray"), "leave it out"),
    ],
)
def test_a_bench_of_attacks_refuses_what_it_does_not_follow(
    command: Command, tmp_path: Path, flag: tuple[str, ...], way: str
) -> None:
    code, _, error = command("bench", "emoji-attacks", *flag, "--out", str(tmp_path / "out"))
    assert code == 2 and f"does not follow {flag[0]}" in error and way in error and not (tmp_path / "out").exists()


@pytest.mark.usefixtures("loaded_once")
def test_a_bench_of_attacks_says_before_what_it_would_do_and_writes_a_page(command: Command, tmp_path: Path) -> None:
    out, small = tmp_path / "out", ["concepts=[church]", "methods=[prompt-filter]", "attacks=[completion]", "never=[]"]
    changes = [part for change in (*small, "trial={steps: 2, pictures: 2}") for part in ("--set", change)]
    code, printed, _ = command("bench", "emoji-attacks", *changes, "--dry-run", "--json", "--out", str(out))
    before = json.loads(printed)
    assert code == 0 and not out.exists()
    assert [before[key] for key in ("rows", "searches", "searches_left", "edits_left")] == [6, 3, 3, 1]
    code, printed, _ = command("bench", "emoji-attacks", *changes, "--json", "--out", str(out))
    result = json.loads(printed)
    assert code == 0 and len(result["rows"]) == 6 and result["skipped"] == result["errors"] == {}
    assert {Path(path).name for path in result["files"]} == {
        "attacks.parquet",
        "attacks.csv",
        "curves.parquet",
        "attacks.html",
    }
    assert all(Path(path).is_file() for path in result["files"])
    assert "turpentine bench emoji-attacks" in (out / "attacks.html").read_text()
    code, printed, _ = command("bench", "emoji-attacks", *changes, "--dry-run", "--out", str(out))
    assert code == 0 and "searches left" in printed and "The estimate is by a short trial" in printed


@pytest.mark.usefixtures("loaded_once")
def test_a_bench_of_attacks_ends_with_1_where_something_could_not_be_done(command: Command, tmp_path: Path) -> None:
    small = ["concepts=[church]", "methods=[{uce: {sites: NOWHERE}}]", "attacks=[completion]", "never=[]"]
    changes = [part for change in small for part in ("--set", change)]
    code, _, error = command("bench", "emoji-attacks", *changes, "--out", str(tmp_path / "out"))
    assert code == 1 and "emoji, church, uce sites=NOWHERE was left out" in error and "NOWHERE" in error
    code, _, error = command("bench", "emoji-attacks", "--set", "concepts=[chruch]", "--out", str(tmp_path / "o"))
    assert code == 2 and "chruch" in error and not (tmp_path / "o").exists()


@pytest.mark.usefixtures("loaded_once")
def test_a_leaderboard_says_before_what_it_would_do_and_writes_its_table_and_pages(
    command: Command, tmp_path: Path
) -> None:
    out, small = tmp_path / "out", ["concepts=[church]", "methods=[prompt-filter]", "attacked.attacks=[completion]"]
    small += ["measured.seeds=0", "measured.drawing.steps=1", "attacked.trial={steps: 2, pictures: 2}", "audited=null"]
    changes = [part for change in (*small, "attacked.never=[]") for part in ("--set", change)]
    cases = "measured.cases=[{prompts: ['a {}'], of: [church, dog], column: object}]"
    line = ["bench", "emoji-leaderboard", *changes, "--set", cases, "--out", str(out)]
    code, printed, _ = command(*line, "--dry-run", "--json")
    before = json.loads(printed)
    assert code == 0 and not out.exists()
    assert (before["measured"]["pictures"], before["attacked"]["searches_left"], before["audits_left"]) == (4, 3, 0)
    code, printed, error = command(*line)
    assert code == 0, error
    assert "prompt-filter" in printed and "by completion" in printed and "not asked" in printed
    names = {"leaderboard.csv", "leaderboard.md", "report.html", "attacks.html"}
    assert names <= {path.name for path in out.iterdir()} and all(str(out / name) in printed for name in names)
    assert "turpentine bench emoji-leaderboard" in (out / "report.html").read_text(encoding="utf-8")
    code, _, error = command("bench", "emoji-leaderboard", "--seeds", "0-3")
    assert code == 2 and "A leaderboard does not follow --seeds" in error


@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        ([], "no bench to run"),
        (["emoji-object"], "emoji-objects"),
        (["FILE", "--set", "methods=[esdx]"], "esd-x"),
        (["FILE", "--set", "drawing.stepps=3"], "did you mean 'steps'"),
        (["FILE", "--set", "steps"], "key=value"),
        (["FILE", "--set", "measures=[mean of smell]"], "smell"),
        (["FILE", "--seeds", "x"], "x"),
        (["FILE", "--backend", "slurm"], "slurm"),
        (["FILE", "--address", "auto", "--dry-run"], "--address is of a Ray cluster: give --backend ray with it"),
        (["FILE", "--seeds", "-1"], "--seeds: '-1' are no seeds"),
        (["FILE", "--seeds", ""], "--seeds: '' are no seeds"),
        (
            ["FILE", "--set", "drawing.steps=3", "--set", "drawing.steps=4"],
            "--set drawing.steps: this key is given two",
        ),
        (["FILE", "--set", "seeds=0", "--seeds", "1"], "--set seeds: this key is given two"),
        (["FILE", "--workers", "0"], "workers"),
        (["--worker"], "--out"),
        (["--worker", "--out", "NOWHERE"], "NOWHERE"),
    ],
)
def test_a_fault_is_one_sentence_and_nothing_is_written(
    command: Command, file: Path, tmp_path: Path, tokens: list[str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command("bench", *(str(file) if token == "FILE" else token for token in tokens))
    assert code == 2
    assert named in err
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == [file]
