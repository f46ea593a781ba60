"""`turpentine bench` for a file of attacks: what it would do, the run, its page and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from turpentine.cli.checks import announce, check_words
from turpentine.cli.options import ModelChoice
from turpentine.cli.progress_bars import busy, progress_bar
from turpentine.cli.terminal import plain, say, say_json, say_prose, show_table, warn
from turpentine.cli.work_options import FAILED
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import counted, duration

if TYPE_CHECKING:
    from turpentine.bench.attack_bench import AttackTable
    from turpentine.bench.attack_estimate import AttackEstimate
    from turpentine.bench.attack_file import AttackSpec
    from turpentine.bench.schema import ModelEntry
    from turpentine.models import Model

DType = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True)
class BenchRun:
    """Where a bench of attacks or a leaderboard is run, on what, and how it is printed.

    Args:
        out: The folder.
        device: Where models are loaded.
        dtype: Number format of their weights.
        line: The command line, for the pages.
        json: Print one JSON document.
    """

    out: Path
    device: str | None
    dtype: DType | None
    line: str
    json: bool

    def load(self, entry: ModelEntry) -> Model:
        """Load a model as a bench's file writes it."""
        return ModelChoice(entry.source, self.device, self.dtype, **entry.options).load()


def refuse_other_flags(given: Mapping[str, Any], what: str = "bench of attacks") -> None:
    """Refuse flags that a bench of attacks, or a leaderboard, does not follow.

    Args:
        given: Values by flag.
        what: Which of them it is.

    Raises:
        BadArgument: One is given; what is there in its place is said where there is something.
    """
    for flag, value in given.items():
        if value:
            instead = INSTEAD.get(flag, "leave it out")
            raise BadArgument(f"A {what} does not follow {flag}: {instead}.")


INSTEAD = {
    "--workers and --threads": "start the same command once more, and both share the work",
    "--retry": "what could not be done is tried again by the same command",
}


def check_attack_bench(spec: AttackSpec, *, force: bool) -> None:
    """Check that the models can be there and know the words of the concepts, and say what is fetched for the judge."""
    for entry in spec.models:
        ModelChoice(entry.source).check()
        check_words([concept.text for concept in spec.concepts], entry.source, force=force)
    announce(spec.judge.judge)


def show_attack_estimate(spec: AttackSpec, run: BenchRun) -> int:
    """Show what a run would do, and how long it may take; nothing is written."""
    from turpentine.bench.attack_estimate import estimate_attacks

    with busy("Trying how long it takes"):
        expected = estimate_attacks(spec, run.out, run.load)
    if run.json:
        say_json({**asdict(expected), "out": str(run.out)})
        return 0
    show_trial(estimate_rows(expected), run.out)
    return 0


def show_trial(rows: Sequence[tuple[str, int, str]], out: Path) -> None:
    """Print what a short trial says that a run would take.

    Args:
        rows: What there is to do, how much of it, and about how long it takes.
        out: The folder that the run would have.
    """
    show_table(("", "", ""), rows)
    say_prose(f"\nThe estimate is by a short trial. The folder would be {plain(str(out))}.")


def estimate_rows(expected: AttackEstimate) -> list[tuple[str, int, str]]:
    """Return what there is to do, how much of it, and about how long it takes."""
    edits_take = "for a time that is not known" if expected.edits_left else ""
    if expected.edits_left and expected.edit_seconds is not None:
        edits_take = f"about {duration(expected.edit_seconds)}, as those that are made"
    return [
        ("lines of the table", expected.rows, ""),
        ("searches", expected.searches, "each of an attack on a model; controls are shared"),
        ("edits", expected.edits, ""),
        ("searches left", expected.searches_left, f"about {duration(expected.seconds)}, with their pictures"),
        ("edits left to make", expected.edits_left, edits_take),
    ]


def run_attacks(spec: AttackSpec, run: BenchRun) -> int:
    """Run a bench of attacks, write its page, and print its table."""
    from turpentine.bench.attack_bench import run_attack_bench
    from turpentine.report.attack_bench_page import write_attack_bench_page

    with progress_bar("Attacking", "jobs") as progress:
        table = run_attack_bench(spec, run.out, run.load, progress)
    files: list[Path] = []
    if len(table.rows):
        with busy("Writing the page"):
            page = write_attack_bench_page(table, spec, run.out, command=run.line)
        files = [*(run.out / name for name in table.files), page]
    _show(table, files, run.json)
    return FAILED if table.errors else 0


def _show(table: AttackTable, files: list[Path], json: bool) -> None:
    paths = [str(path) for path in files]
    if json:
        left_out = {"skipped": dict(table.skipped), "errors": dict(table.errors)}
        say_json({"title": table.title, "rows": table.rows.to_dicts(), **left_out, "files": paths})
        return
    say(plain(table.title) + "\n")
    headings, lines = table.board()
    show_table(headings, lines)
    for name, why in {**table.skipped, **table.errors}.items():
        warn(f"{name} was left out: {why}")
    if table.errors:
        warn(f"{counted(len(table.errors), 'job')} could not be done: the same command tries again.")
    for path in paths:
        say(plain(path))
