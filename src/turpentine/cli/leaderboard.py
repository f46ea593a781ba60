"""`turpentine bench` for a leaderboard: what it would do, the run, its table and the pages of its parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from turpentine.cli.attack_bench import BenchRun, check_attack_bench, estimate_rows, show_trial
from turpentine.cli.progress_bars import Phases, busy
from turpentine.cli.terminal import plain, say, say_json, say_prose, show_table, warn
from turpentine.cli.work_options import FAILED
from turpentine.core.formatting import counted, duration

if TYPE_CHECKING:
    from turpentine.audit.leaderboard import LeaderboardRun
    from turpentine.bench.leaderboard_file import LeaderboardSpec


def check_leaderboard(spec: LeaderboardSpec, *, force: bool) -> None:
    """Check that the models can be there and know the words of the concepts, and say what is fetched for judges."""
    check_attack_bench(spec.attacked, force=force)
    # What is wrong in these is an error before a model is loaded.
    _ = spec.measured.measures, spec.measured.cases_by_concepts


def show_leaderboard_estimate(spec: LeaderboardSpec, run: BenchRun) -> int:
    """Show what a run would do, and how long it may take; nothing is written."""
    from turpentine.audit.leaderboard import estimate_leaderboard

    with busy("Trying how long it takes"):
        expected = estimate_leaderboard(spec, run.out, run.load)
    if run.json:
        say_json({**expected.numbers(), "out": str(run.out)})
        return 0
    pictures = ("pictures left to draw", expected.measured.pictures, f"about {duration(expected.measured.seconds)}")
    audits = ("audits left", expected.audits_left, "")
    show_trial([pictures, *estimate_rows(expected.attacked), audits], run.out)
    return 0


def run_leaderboard(spec: LeaderboardSpec, run: BenchRun) -> int:
    """Run a leaderboard, write the pages of its parts, and print its table."""
    from turpentine.audit import leaderboard

    with Phases(leaderboard.PHASES) as progress:
        outcome = leaderboard.run_leaderboard(spec, run.out, run.load, progress)
    with busy("Writing the pages"):
        files = _write(outcome, spec, run)
    _show(outcome, files, run.json)
    return FAILED if outcome.board.errors or outcome.results.errors else 0


def _write(outcome: LeaderboardRun, spec: LeaderboardSpec, run: BenchRun) -> list[Path]:
    """Write the table, and the pages of the bench and of the attacks."""
    from turpentine.report.attack_bench_page import write_attack_bench_page
    from turpentine.report.leaderboard_files import write_leaderboard
    from turpentine.report.table_page import write_bench_report

    board = outcome.board
    files = write_leaderboard(board, run.out)
    files.append(write_bench_report(board.measured, outcome.results, outcome.plan, outcome.store, command=run.line))
    if len(board.attacked.rows):
        files.append(write_attack_bench_page(board.attacked, spec.attacked, run.out, command=run.line))
    return files


def _show(run: LeaderboardRun, files: list[Path], json: bool) -> None:
    from turpentine.report.leaderboard_files import HEADINGS, LEGEND, board_lines

    board, paths = run.board, [str(path) for path in files]
    if json:
        say_json({"title": board.title, "rows": board.rows.to_dicts(), "errors": dict(board.errors), "files": paths})
        return
    say(plain(board.title) + "\n")
    show_table(HEADINGS, board_lines(board.rows))
    say_prose(f"\n{LEGEND}\n")
    for name, why in board.errors.items():
        warn(f"{name} was left out: {why}")
    if run.results.errors:
        warn(f"{counted(run.results.errors, 'picture')} could not be drawn or judged.")
    for path in paths:
        say(plain(path))
