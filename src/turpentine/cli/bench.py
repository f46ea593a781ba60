"""`turpentine bench`: compares methods over concepts in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from turpentine.cli.attack_bench import (
    check_attack_bench,
    refuse_other_flags,
    run_attacks,
    show_attack_estimate,
)
from turpentine.cli.checks import announce, check_device, check_folder, check_words
from turpentine.cli.leaderboard import check_leaderboard, run_leaderboard, show_leaderboard_estimate
from turpentine.cli.options import Json, ModelChoice
from turpentine.cli.progress_bars import Phases, busy
from turpentine.cli.terminal import plain, say, say_json, show_table
from turpentine.cli.work_options import WorkChoice, WorkFlags, exit_code
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import duration, file_size
from turpentine.core.safe_text import safe_name

if TYPE_CHECKING:
    from turpentine.bench.attack_file import AttackSpec
    from turpentine.bench.file import Bench
    from turpentine.bench.leaderboard_file import LeaderboardSpec
    from turpentine.bench.schema import ModelEntry
    from turpentine.bench.table import Table
    from turpentine.runs.plan import Plan
    from turpentine.runs.results import Results
    from turpentine.runs.specs import ModelSpec
    from turpentine.runs.store import Store

Flag = Parameter(negative=(), show_default=False)


def bench(
    file: str | None = None,
    /,
    *,
    shipped: Annotated[bool, Parameter(name="--list", negative=(), show_default=False)] = False,
    dry_run: Annotated[bool, Flag] = False,
    out: Path | None = None,
    seeds: str | None = None,
    changes: Annotated[tuple[str, ...], Parameter(name="--set", metavar="KEY=VALUE", show_default=False)] = (),
    work: Annotated[WorkChoice, WorkFlags] = WorkChoice(),
    backend: Literal["local", "ray"] = "local",
    address: str | None = None,
    worker: Annotated[bool, Flag] = False,
    device: str | None = None,
    dtype: Literal["fp32", "fp16", "bf16"] | None = None,
    force: Annotated[bool, Flag] = False,
    line: Annotated[str, Parameter(parse=False)] = "",
    json: Json = False,
) -> int:
    """Compare methods over concepts: make the edits, draw, judge, and put it all into one table.

    The run can be broken off at any time: the same command goes on from there. It ends with 1 where some pictures could
    not be drawn or judged.

    Args:
        file: A bench's file (YAML), or the name of one that ships; see --list.
        shipped: List the benches that ship, and what each shows.
        dry_run: Say what would be done, and how long it may take; nothing is written.
        out: The folder for pictures, edits, results and tables; runs/NAME by default.
        seeds: Seeds of the pictures for each prompt, such as 0-49, or of a bench of attacks' searches, in the
            place of the file's.
        changes: Another value for a key of the file, such as drawing.steps=30 or "methods=[esd-x, uce]"; may be given
            several times.
        work: Who does the work.
        backend: Where the work is done: local, on this machine; or ray, on a Ray cluster.
        address: The address of a Ray cluster that runs already.
        worker: Join the work on the folder --out as one more process, also from another machine.
        device: "cpu", "cuda" or "cuda:1"; CUDA by default if there is one.
        dtype: Number format of the models' weights; fp16 by default on CUDA, fp32 elsewhere.
        force: Take words in the concepts that the model does not know.
        line: The command line, for the report.
        json: Print one JSON document, also of an error.

    Example:
        turpentine bench emoji-objects --dry-run
    """
    if shipped:
        return _list_shipped(json)
    if worker:
        return _join(out)
    _check_places(device, out)
    others = {"--backend": backend != "local", "--address": address, "--retry": work.retry}
    others["--workers and --threads"] = work != WorkChoice(retry=work.retry)
    folder = out or Path("runs") / safe_name(Path(str(file)).stem)
    board = _leaderboard(file, changes, force)
    changes = (*changes, *([f"seeds='{seeds}'"] if seeds else []))
    attacks = _attacks(file, changes)
    if attacks is not None:
        refuse_other_flags(others)
        check_attack_bench(attacks, force=force)
        go = show_attack_estimate if dry_run else partial(run_attacks, line=line)
        return go(attacks, folder, device, dtype, json=json)
    if board is not None:
        refuse_other_flags({"--seeds": seeds, **others}, "leaderboard")
        check_leaderboard(board, force=force)
        show = show_leaderboard_estimate if dry_run else partial(run_leaderboard, line=line)
        return show(board, folder, device, dtype, json=json)
    with busy("Reading the bench"):
        chosen = _read(file, changes, force)

    from turpentine.runs.store import Store

    plan = chosen.plan(partial(_source_of, device=device, dtype=dtype))
    store = Store(out or Path("runs") / safe_name(chosen.name))
    if dry_run:
        return _show_estimate(plan, store.folder, json)
    if work.retry:
        store.forget_errors()
    return _reported(chosen, plan, _results(plan, store, work, backend, address), store, line, json)


def _reported(chosen: Bench, plan: Plan, results: Results, store: Store, line: str, json: bool) -> int:
    table = chosen.table(plan, results, store)
    files = _write_report(table, results, plan, store, line)
    _show_table(table, results, files, json)
    return exit_code(results.frame["error"].drop_nulls().to_list(), results.rows)


def _results(
    plan: Plan, store: Store, work: WorkChoice, backend: Literal["local", "ray"], address: str | None
) -> Results:
    """Do all the work of a plan."""
    from turpentine.runs import backends

    with Phases(backends.PHASES) as progress:
        return backends.run(
            plan,
            store,
            backend=backend,
            workers=work.workers,
            threads=work.threads,
            address=address,
            progress=progress,
        )


def _attacks(file: str | None, changes: Sequence[str]) -> AttackSpec | None:
    """Return a bench of attacks, None for one of another kind."""
    from turpentine.bench.attack_file import read_attack_bench

    return read_attack_bench(file, changes) if file is not None else None


def _leaderboard(file: str | None, changes: Sequence[str], force: bool) -> LeaderboardSpec | None:
    """Return a leaderboard, None for a bench of another kind."""
    from turpentine.bench.leaderboard_file import read_leaderboard

    return read_leaderboard(file, changes, partial(_check, force=force)) if file is not None else None


def _source_of(entry: ModelEntry, *, device: str | None, dtype: Literal["fp32", "fp16", "bf16"] | None) -> ModelSpec:
    """Load a model of a bench, and return its spec."""
    from turpentine.runs.specs import ModelSpec

    choice = ModelChoice(entry.source, device, dtype, **entry.options)
    return ModelSpec.of(choice.load(), entry.source, device)


def _list_shipped(json: bool) -> int:
    from turpentine.bench import file as bench_file
    from turpentine.bench.attack_file import attack_benches
    from turpentine.bench.leaderboard_file import leaderboards
    from turpentine.bench.yaml_lines import read_yaml

    rows = [
        {"name": name, **{key: value.get(key, "") for key in ("title", "source")}}
        for name, text in sorted({**bench_file.shipped(), **attack_benches(), **leaderboards()}.items())
        for value in [read_yaml(text, name).value]
    ]
    if json:
        say_json(rows)
    else:
        show_table(("name", "what it shows", "counterpart of"), [tuple(row.values()) for row in rows])
    return 0


def _read(file: str | None, overrides: Sequence[str], force: bool) -> Bench:
    """Read a bench's file, check what it names, and say what will be fetched for its judges."""
    if file is None:
        raise BadArgument("There is no bench to run: give a file, or a name of turpentine bench --list.")
    from turpentine.bench.file import load

    chosen = load(file, overrides, partial(_check, force=force))
    _ = chosen.measures, chosen.cases_by_concepts  # what is wrong in them is said before a model is loaded
    for entry in chosen.spec.judges:
        announce(entry.judge)
    return chosen


def _write_report(table: Table, results: Results, plan: Plan, store: Store, line: str) -> list[Path]:
    """Write the page, the table and the models' cards, and return all files."""
    with busy("Writing the report"):
        from turpentine.report.card import write_model_cards
        from turpentine.report.table_files import write_table
        from turpentine.report.table_page import write_bench_report

        page = write_bench_report(table, results, plan, store, command=line)
        cards = write_model_cards(table, results, plan, store)
        return [results.path, *write_table(table, store.folder), cards, page]


def _check_places(device: str | None, out: Path | None) -> None:
    check_device(device)
    if out is not None:
        check_folder(out)


def _check(chosen: Bench, *, force: bool) -> None:
    """Check that the models can be there, and that they know the words of the concepts, where that is known."""
    texts = [text for concepts in chosen.concepts for one in concepts for text in (one.text, *one.keep)]
    for model in chosen.spec.models:
        ModelChoice(model.source).check()
        check_words(texts, model.source, force=force)


def _join(out: Path | None) -> int:
    """Work on a bench that another process has begun."""
    if out is None:
        raise BadArgument("A worker needs the folder of a bench: give it with --out.")
    from turpentine.runs import backends

    with Phases(backends.PHASES) as progress:
        backends.worker(out, progress=progress)
    return 0


def _show_estimate(plan: Plan, folder: Path, json: bool) -> int:
    """Show what a run would do, and how long it may take."""
    from turpentine.runs.estimate import estimate
    from turpentine.runs.store import Store

    with busy("Trying how long it takes"):
        expected = estimate(plan, Store(folder))
    counts = plan.counts
    if json:
        say_json({"whole": asdict(counts), "left": asdict(expected), "out": str(folder)})
        return 0
    pictures_take = f"about {duration(expected.seconds)} and {file_size(round(expected.bytes))}"
    edits_take = "for a time that is not known" if expected.edits else ""
    if expected.edits and expected.edit_seconds is not None and expected.edit_bytes is not None:
        size = file_size(round(expected.edit_bytes))
        edits_take = f"about {duration(expected.edit_seconds)} and {size}, as those that are made"
    rows = [
        ("lines of the table", counts.conditions, ""),
        ("pictures", counts.distinct, f"{counts.shared_pictures} more are shared"),
        ("edits", counts.edits, f"{counts.shared_edits} more are shared"),
        ("judgements", counts.judged, ""),
        ("pictures left to draw", expected.pictures, pictures_take),
        ("edits left to make", expected.edits, edits_take),
    ]
    show_table(("", "", ""), rows)
    say(f"\nThe estimate is by {expected.basis}, for one worker. The folder would be {plain(str(folder))}.")
    return 0


def _show_table(table: Table, results: Results, files: Sequence[Path], json: bool) -> None:
    if json:
        say_json(
            {
                "title": table.title,
                "rows": table.rows.to_dicts(),
                "protocols": dict(table.protocols),
                "errors": results.errors,
                "sha256": results.sha256,
                "files": [str(path) for path in files],
            }
        )
        return
    from turpentine.report.board import board, protocol_line

    lines = board(table)
    say(plain(table.title) + "\n")
    show_table(lines.headings, lines.lines, strong=lines.strong)
    say(f"\n{plain(protocol_line(table))}\n")
    for path in files:
        say(plain(str(path)))
