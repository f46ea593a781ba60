"""`turpentine bench`: methods × concepts to a table."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.help_text import with_help
from turpentine.cli.options import Json, ModelChoice
from turpentine.cli.progress_bars import Phases, busy
from turpentine.cli.terminal import plain, say, say_json, show_table, warn
from turpentine.core.atomic_files import safe_name
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import duration, file_size

if TYPE_CHECKING:
    from turpentine.bench.file import Bench
    from turpentine.bench.table import Table
    from turpentine.runs.estimate import Expected
    from turpentine.runs.plan import Plan
    from turpentine.runs.results import Results
    from turpentine.runs.specs import Source
    from turpentine.runs.store import Store

FAILED = 1
PHASES = {
    "edits": ("Edits", "edits"),
    "edit": ("Making an edit", "units"),
    "pictures": ("Drawing and judging", "pictures"),
}

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
    backend: Literal["local", "ray"] = "local",
    workers: PositiveInt = 1,
    threads: PositiveInt | None = None,
    address: str | None = None,
    worker: Annotated[bool, Flag] = False,
    retry: Annotated[bool, Flag] = False,
    device: str | None = None,
    dtype: Literal["fp32", "fp16", "bf16"] | None = None,
    line: Annotated[str, Parameter(parse=False)] = "",
    json: Json = False,
) -> int:
    """Compare methods over concepts: make the edits, draw, judge, and put it all into one table.

    The run can be broken off at any time: the same command goes on from there. It ends with 1 where some pictures could
    not be drawn or judged.

    file: a bench's file (YAML), or the name of one that ships; see --list.
    shipped: list the benches that ship, and what each shows.
    dry_run: say what would be done, and how long it may take; nothing is written.
    out: the folder for pictures, edits, results and tables; runs/NAME by default.
    seeds: of the pictures for each prompt, such as 0-49, in the place of the file's.
    changes: another value for a key of the file, such as drawing.steps=30 or "methods=[esd-x, uce]"; may be given
    several times.
    backend: local, on this machine; or ray, on a Ray cluster.
    workers: processes, or actors of the cluster; one a GPU.
    threads: of each worker on a CPU; by default as many as there are cores, however many workers share them. The last
    bits of the numbers depend on it.
    address: of a Ray cluster that runs already.
    worker: join the work on the folder --out as one more process, also from another machine.
    retry: try again what could not be drawn or judged.
    device: "cpu", "cuda" or "cuda:1"; CUDA by default if there is one.
    dtype: number format of the models' weights; fp16 by default on CUDA, fp32 elsewhere.
    """
    if shipped:
        _list_shipped(json)
        return 0
    if worker:
        return _join(out)
    with busy("Reading the bench"):
        chosen = _load(file, [*changes, *([f"seeds='{seeds}'"] if seeds else [])])
    _say_downloads(chosen)
    folder = out or Path("runs") / safe_name(chosen.name)
    plan = chosen.plan(lambda model: _source(model, device, dtype))
    if dry_run:
        _tell_plan(_expected(plan, folder), plan, folder, json)
        return 0
    store = _store(folder, retry)
    results = _run(plan, store, backend=backend, workers=workers, threads=threads, address=address)
    table = chosen.table(plan, results, store)
    with busy("Writing the report"):
        files = _write(table, results, plan, store, line)
    return _tell(table, results, files, json)


def with_line(tokens: Sequence[str]) -> Callable[..., int]:
    """The command, which then knows the line that it was called by."""
    command = partial(with_help(bench), line=shlex.join(["turpentine", "bench", *tokens]))
    return update_wrapper(command, bench)


def _list_shipped(json: bool) -> None:
    from turpentine.bench import file as bench_file
    from turpentine.bench.yaml_lines import read_yaml

    rows = [
        {"name": name, **{key: value.get(key, "") for key in ("title", "source")}}
        for name, text in bench_file.shipped().items()
        for value in [read_yaml(text, name).value]
    ]
    if json:
        say_json(rows)
    else:
        show_table(("name", "what it shows", "counterpart of"), [tuple(row.values()) for row in rows])


def _load(file: str | None, changes: Sequence[str]) -> Bench:
    if file is None:
        raise BadArgument("There is no bench to run: give a file, or a name of turpentine bench --list.")
    from turpentine.bench import file as bench_file

    chosen = bench_file.load(file, changes)
    _ = chosen.measures, chosen.asked  # what is wrong in them is said before a model is loaded
    return chosen


def _join(out: Path | None) -> int:
    if out is None:
        raise BadArgument("A worker needs the folder of a bench: give it with --out.")
    from turpentine.runs import backends

    with Phases(PHASES) as progress:
        backends.worker(out, progress=progress)
    return 0


def _say_downloads(chosen: Bench) -> None:
    for judge in (entry.judge for entry in chosen.spec.judges):
        if judge.download:
            warn(f"The judge {judge.name} needs {judge.download}: it is fetched now.")


def _source(model: str, device: str | None, dtype: Any) -> Source:
    """Which model that is; it is loaded again where it draws."""
    from turpentine.runs.specs import Source

    return Source.of(ModelChoice(model, device, dtype).load(), model, device)


def _expected(plan: Plan, folder: Path) -> Expected:
    from turpentine.runs.estimate import estimate
    from turpentine.runs.store import Store

    with busy("Trying how long it takes"):
        return estimate(plan, Store(folder))


def _store(folder: Path, retry: bool) -> Store:
    from turpentine.runs.store import Store

    store = Store(folder)
    if retry:
        store.forget_errors()
    return store


def _run(plan: Plan, store: Store, **where: Any) -> Results:
    from turpentine.runs import backends

    with Phases(PHASES) as progress:
        return backends.run(plan, store, progress=progress, **where)


def _write(table: Table, results: Results, plan: Plan, store: Store, line: str) -> list[Path]:
    from turpentine.report.bench import write_bench_report
    from turpentine.report.bench_card import write_model_cards
    from turpentine.report.bench_files import write_table

    page = write_bench_report(table, results, plan, store, command=line)
    cards = write_model_cards(table, results, plan, store)
    return [results.path, *write_table(table, store.folder), cards, page]


def _tell(table: Table, results: Results, files: Sequence[Path], json: bool) -> int:
    """Show the table, and give the exit code."""
    if json:
        say_json(_as_json(table, results, files))
    else:
        _show(table, files)
    if not results.errors:
        return 0
    warn(
        f"{results.errors} of {results.rows} rows could not be drawn or judged, the first one because: "
        f"{results.first_error} The same command with --retry tries them again."
    )
    return FAILED


def _as_json(table: Table, results: Results, files: Sequence[Path]) -> dict[str, Any]:
    return {
        "title": table.title,
        "rows": table.rows.to_dicts(),
        "protocols": dict(table.protocols),
        "errors": results.errors,
        "sha256": results.sha256,
        "files": [str(path) for path in files],
    }


def _show(table: Table, files: Sequence[Path]) -> None:
    from turpentine.report.bench_board import board, protocol_line

    shown = board(table)
    say(plain(table.title) + "\n")
    show_table(shown.headings, shown.lines, strong=shown.strong)
    say(f"\n{plain(protocol_line(table))}\n")
    for path in files:
        say(plain(str(path)))


def _tell_plan(expected: Expected, plan: Plan, folder: Path, json: bool) -> None:
    """What a run would do."""
    counts = plan.counts
    if json:
        say_json({"whole": asdict(counts), "left": asdict(expected), "out": str(folder)})
        return
    rows = [
        ("lines of the table", counts.cells, ""),
        ("pictures", counts.drawn, f"{counts.shared_pictures} more are shared"),
        ("edits", counts.edits, f"{counts.shared_edits} more are shared"),
        ("judgements", counts.judged, ""),
        (
            "pictures left to draw",
            expected.pictures,
            f"about {duration(expected.seconds)} and {file_size(expected.bytes)}",
        ),
        ("edits left to make", expected.edits, _edits_take(expected)),
    ]
    show_table(("", "", ""), rows)
    say(f"\nThe estimate is by {expected.basis}, for one worker. The folder would be {plain(str(folder))}.")


def _edits_take(expected: Expected) -> str:
    if not expected.edits:
        return ""
    if expected.edit_seconds is None or expected.edit_bytes is None:
        return "for a time that is not known"
    return f"about {_cost(expected.edit_seconds, expected.edit_bytes)}, as those that are made"


def _cost(seconds: float, count: float) -> str:
    return f"{duration(seconds)} and {file_size(count)}"
