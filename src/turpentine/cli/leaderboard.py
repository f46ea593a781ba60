"""`turpentine bench` for a leaderboard: what it would do, the run, its table and the pages of its parts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from turpentine.cli.attack_bench import DType, check_attack_bench, estimate_rows, load_entry
from turpentine.cli.progress_bars import Phases, busy
from turpentine.cli.terminal import plain, say, say_json, show_table, warn
from turpentine.cli.work_options import FAILED
from turpentine.core.formatting import counted, duration

if TYPE_CHECKING:
    from turpentine.audit.leaderboard import LeaderboardRun
    from turpentine.bench.leaderboard_file import LeaderboardSpec


def check_leaderboard(spec: LeaderboardSpec, *, force: bool) -> None:
    """Check that the models can be there and know the words of the concepts, and say what is fetched for judges."""
    check_attack_bench(spec.attacked, force=force)
    _ = (
        spec.measured.measures,
        spec.measured.cases_by_concepts,
    )  # what is wrong in them is said before a model is loaded


def show_leaderboard_estimate(
    spec: LeaderboardSpec, out: Path, device: str | None, dtype: DType | None, json: bool
) -> int:
    """Show what a run would do, and how long it may take; nothing is written."""
    from turpentine.audit.leaderboard import estimate_leaderboard

    with busy("Trying how long it takes"):
        expected = estimate_leaderboard(spec, out, partial(load_entry, device=device, dtype=dtype))
    if json:
        say_json({**expected.numbers(), "out": str(out)})
        return 0
    take = f"about {duration(expected.measured.seconds)}"
    pictures, audits = (
        ("pictures left to draw", expected.measured.pictures, take),
        ("audits left", expected.audits_left, ""),
    )
    show_table(("", "", ""), [pictures, *estimate_rows(expected.attacked), audits])
    say(f"\nThe estimate is by a short trial. The folder would be {plain(str(out))}.")
    return 0


def run_leaderboard(
    spec: LeaderboardSpec, out: Path, device: str | None, dtype: DType | None, line: str, json: bool
) -> int:
    """Run a leaderboard, write the pages of its parts, and print its table."""
    from turpentine.audit import leaderboard

    with Phases(leaderboard.PHASES) as progress:
        run = leaderboard.run_leaderboard(spec, out, partial(load_entry, device=device, dtype=dtype), progress)
    with busy("Writing the pages"):
        files = _write(run, spec, out, line)
    _show(run, files, json)
    return FAILED if run.board.errors or run.results.errors else 0


def _write(run: LeaderboardRun, spec: LeaderboardSpec, out: Path, line: str) -> list[Path]:
    """Write the table, and the pages of the bench and of the attacks."""
    from turpentine.report.attack_bench_page import write_attack_bench_page
    from turpentine.report.leaderboard_files import write_leaderboard
    from turpentine.report.table_page import write_bench_report

    board = run.board
    files = write_leaderboard(board, out)
    files.append(write_bench_report(board.measured, run.results, run.plan, run.store, command=line))
    if len(board.attacked.rows):
        files.append(write_attack_bench_page(board.attacked, spec.attacked, out, command=line))
    return files


def _show(run: LeaderboardRun, files: list[Path], json: bool) -> None:
    from turpentine.report.leaderboard_files import HEADINGS, LEGEND, board_lines

    board, paths = run.board, [str(path) for path in files]
    if json:
        say_json({"title": board.title, "rows": board.rows.to_dicts(), "errors": dict(board.errors), "files": paths})
        return
    say(plain(board.title) + "\n")
    show_table(HEADINGS, board_lines(board.rows))
    say(f"\n{LEGEND}\n")
    for name, why in board.errors.items():
        warn(f"{name} was left out: {why}")
    if run.results.errors:
        warn(f"{counted(run.results.errors, 'picture')} could not be drawn or judged.")
    for path in paths:
        say(plain(path))
