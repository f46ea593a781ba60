"""`turpentine bench`: compares methods over concepts in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from turpentine.cli.attack_bench import (
    BenchRun,
    check_attack_bench,
    refuse_other_flags,
    run_attacks,
    show_attack_estimate,
)
from turpentine.cli.checks import announce, check_device, check_folder, check_lists_alone, check_words
from turpentine.cli.help_text import with_help
from turpentine.cli.leaderboard import check_leaderboard, run_leaderboard, show_leaderboard_estimate
from turpentine.cli.options import Flat, Json, ModelChoice, parse_seeds
from turpentine.cli.progress_bars import Phases, busy, progress_bar
from turpentine.cli.terminal import plain, say, say_json, say_prose, show_table, warn
from turpentine.cli.work_options import WorkChoice, WorkFlags, exit_code
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import duration, file_size
from turpentine.core.safe_text import safe_name

if TYPE_CHECKING:
    from turpentine.bench.file import Bench, BenchFile
    from turpentine.bench.schema import ModelEntry
    from turpentine.bench.table import Table
    from turpentine.runs.plan import Plan
    from turpentine.runs.references import ReferenceSet
    from turpentine.runs.results import Results
    from turpentine.runs.store import Store

Flag = Parameter(negative=(), show_default=False)


@with_help
@dataclass(frozen=True)
class BackendChoice:
    """Where the work of a bench is done.

    Args:
        backend: Where the work is done: local, on this machine; or ray, on a Ray cluster.
        address: The address of a Ray cluster that runs already.
        worker: Join the work on the folder --out as one more process, also from another machine.
    """

    backend: Literal["local", "ray"] = "local"
    address: str | None = None
    worker: Annotated[bool, Flag] = False


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
    where: Annotated[BackendChoice, Flat] = BackendChoice(),
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
        where: Where the work is done.
        device: "cpu", "cuda" or "cuda:1"; CUDA by default if there is one.
        dtype: Number format of the models' weights; fp16 by default on CUDA, fp32 elsewhere.
        force: Take words in the concepts that the model does not know.
        line: The command line, for the report.
        json: Print one JSON document, also of an error.

    Example:
        turpentine bench emoji-objects --dry-run
    """
    if shipped:
        check_lists_alone(file)
        return _list_shipped(json)
    if where.worker:
        return _join(out)
    _check_places(device, out)
    if file is None:
        raise BadArgument("There is no bench to run: give a file, or a name of turpentine bench --list.")
    if where.address is not None and where.backend != "ray":
        raise BadArgument("--address is of a Ray cluster: give --backend ray with it, or leave it out.")
    _check_seeds(seeds)
    from turpentine.bench.file import open_bench

    opened = open_bench(file)
    run = BenchRun(out or Path("runs") / safe_name(opened.name), device, dtype, line, json)
    go = _other_kind(opened, run, changes, seeds, _flags(work, where), dry_run=dry_run, force=force)
    if go is not None:
        return go()
    with busy("Reading the bench"):
        chosen = _read(opened, _with_seeds(changes, seeds), force)
    return _measure(chosen, run, work, where, dry_run=dry_run)


def _measure(chosen: Bench, run: BenchRun, work: WorkChoice, where: BackendChoice, *, dry_run: bool) -> int:
    """Run a bench of measurements and show its table, or show what a run would take."""
    from turpentine.runs.store import Store

    store = Store(run.out)
    plan = _planned(chosen, run, store, work.workers)
    if dry_run:
        return _show_estimate(plan, store.folder, run.json, chosen.references)
    if work.retry:
        store.forget_errors()
    with progress_bar("Looking at the references", "pictures") as progress:
        chosen.look_at_references(store, progress)
    results = _results(plan, store, work, where)
    table = chosen.table(plan, results, store)
    files = _write_report(table, results, plan, store, run.line)
    _show_table(table, results, files, run.json)
    return exit_code(results.frame["error"].drop_nulls().to_list(), results.rows)


def _planned(chosen: Bench, run: BenchRun, store: Store, workers: int) -> Plan:
    """Return the plan of a bench, with as many pictures at a time as the free memory allows for each model."""
    from turpentine.runs.batch_size import settled
    from turpentine.runs.protocol import MOST_AT_ONCE, Protocol
    from turpentine.runs.specs import ModelSpec

    protocols: dict[ModelSpec, Protocol] = {}

    def source_of(entry: ModelEntry) -> ModelSpec:
        model = run.load(entry)
        source = ModelSpec.of(model, entry.source, run.device)
        protocols[source] = settled(chosen.protocol_on(model), model, source, store, workers)
        return source

    plan = chosen.plan(source_of, protocols.__getitem__)
    for source, protocol in protocols.items():
        if chosen.spec.drawing.batch_size is None and protocol.at_once < MOST_AT_ONCE:
            warn(
                f"Memory is short: {source.load} draws {protocol.at_once} pictures at a time, and not {MOST_AT_ONCE}; "
                "--set drawing.batch_size= says otherwise."
            )
    return plan


def _other_kind(
    opened: BenchFile,
    run: BenchRun,
    changes: Sequence[str],
    seeds: str | None,
    others: Mapping[str, Any],
    *,
    dry_run: bool,
    force: bool,
) -> Callable[[], int] | None:
    """Return what runs a leaderboard or a bench of attacks, or shows what a run would take; None for a plain bench."""
    from turpentine.bench.attack_file import attack_spec_of, is_attack_bench
    from turpentine.bench.leaderboard_file import is_leaderboard, leaderboard_of
    from turpentine.bench.yaml_lines import with_overrides

    if is_leaderboard(opened):
        refuse_other_flags({"--seeds": seeds, **others}, "leaderboard")
        board = leaderboard_of(opened, changes, partial(_check, force=force))
        check_leaderboard(board, force=force)
        return partial(show_leaderboard_estimate if dry_run else run_leaderboard, board, run)
    if is_attack_bench(opened):
        refuse_other_flags(others)
        with_overrides(opened.document, _with_seeds(changes, seeds))
        attacks = attack_spec_of(opened.document)
        check_attack_bench(attacks, force=force)
        return partial(show_attack_estimate if dry_run else run_attacks, attacks, run)
    return None


def _flags(work: WorkChoice, where: BackendChoice) -> dict[str, Any]:
    """Return the flags that a bench of measurements alone follows, by name, each true where it is given."""
    return {
        "--backend": where.backend != "local",
        "--address": where.address,
        "--retry": work.retry,
        "--workers and --threads": work != WorkChoice(retry=work.retry),
    }


def _with_seeds(changes: Sequence[str], seeds: str | None) -> list[str]:
    """Return the changes of a file's keys, the one that `--seeds` makes last."""
    return [*changes, *([f"seeds='{seeds}'"] if seeds is not None else [])]


def _check_seeds(seeds: str | None) -> None:
    """Check `--seeds`, which a fault in the file's keys would name otherwise."""
    if seeds is None:
        return
    try:
        parse_seeds(seeds)
    except BadArgument as error:
        raise BadArgument(f"--seeds: {error}") from None


def _results(plan: Plan, store: Store, work: WorkChoice, where: BackendChoice) -> Results:
    """Do all the work of a plan."""
    from turpentine.runs import backends

    with Phases(backends.PHASES) as progress:
        return backends.run(
            plan,
            store,
            backend=where.backend,
            workers=work.workers,
            threads=work.threads,
            address=where.address,
            progress=progress,
        )


def _list_shipped(json: bool) -> int:
    from turpentine.bench.file import every_protocol
    from turpentine.bench.needs import needs_of
    from turpentine.bench.yaml_lines import read_yaml

    contents = {name: read_yaml(text, name).value for name, text in sorted(every_protocol().items())}
    rows = [(name, value["title"], value["source"], needs_of(value)) for name, value in contents.items()]
    if json:
        keys = ("name", "title", "source", "needs")
        say_json([dict(zip(keys, (*texts, asdict(needs)), strict=True)) for *texts, needs in rows])
        return 0
    headings = ("name", "what it shows", "counterpart of", "needs")
    show_table(headings, [(*texts, needs.sentence) for *texts, needs in rows], whole_words=True)
    return 0


def _read(opened: BenchFile, overrides: Sequence[str], force: bool) -> Bench:
    """Return a file's bench; check what it names, and say what will be fetched for its judges."""
    from turpentine.bench.file import bench_of
    from turpentine.bench.yaml_lines import with_overrides

    with_overrides(opened.document, overrides)
    chosen = bench_of(opened, partial(_check, force=force))
    _ = chosen.measures, chosen.cases_by_concepts  # what is wrong in them is an error before a model is loaded
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


def _show_estimate(plan: Plan, folder: Path, json: bool, references: ReferenceSet | None) -> int:
    """Show what a run would do, and how long it may take."""
    from turpentine.runs.estimate import estimate
    from turpentine.runs.store import Store

    with busy("Trying how long it takes"):
        expected = estimate(plan, Store(folder))
    counts = plan.counts
    if json:
        real = {"references": references.facts} if references else {}
        say_json({"whole": asdict(counts), "left": asdict(expected), **real, "out": str(folder)})
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
        *([("real pictures", references.pictures, "each judged once")] if references else []),
        ("pictures left to draw", expected.pictures, pictures_take),
        ("edits left to make", expected.edits, edits_take),
    ]
    show_table(("", "", ""), rows)
    say_prose(f"\nThe estimate is by {expected.basis}, for one worker. The folder would be {plain(str(folder))}.")
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
    say_prose(f"\n{plain(protocol_line(table))}\n")
    for path in files:
        say(plain(str(path)))
