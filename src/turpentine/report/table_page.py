"""The page of a bench: failures, what changed against what stayed, the table, the pictures, the protocol."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from turpentine.bench.lines import Line, amplifies, columns, lines, pooled
from turpentine.bench.table import Table
from turpentine.core.atomic_files import write_text_whole
from turpentine.core.formatting import counted
from turpentine.report import facts
from turpentine.report.count_chart import count_chart
from turpentine.report.failures import failures
from turpentine.report.grid import Picture, grids
from turpentine.report.scatter import HEIGHT, WIDTH, scatter
from turpentine.report.template import fill
from turpentine.runs.method_settings import facts_of
from turpentine.runs.plan import Plan
from turpentine.runs.results import Results
from turpentine.runs.store import Store

REPORT = "report.html"


def write_bench_report(
    table: Table,
    results: Results,
    plan: Plan,
    store: Store,
    path: str | os.PathLike[str] | None = None,
    *,
    command: str = "",
) -> Path:
    """Write the page of a finished bench as one HTML file, whole or not at all, and return its path.

    Args:
        table: Of the plan's results.
        results: Of the run.
        plan: Of the run.
        store: Where the pictures are.
        path: Of the file; by default `report.html` in the store's folder.
        command: The command line of the bench, to print on the page.

    Raises:
        LedgerError: A picture is missing or damaged.
        OSError: As the file system does.
    """
    html = render_bench(
        table,
        results.frame,
        store.picture,
        methods=list(_methods(plan)),
        sha256=results.sha256,
        command=command,
    )
    target = Path(path) if path is not None else store.folder / REPORT
    write_text_whole(target, html)
    return target


def _methods(plan: Plan) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the facts of each edit of the lines; those of a stack are numbered in their order."""
    for condition in plan.conditions:
        count = len(condition.edit_specs)
        for number, edit_spec in enumerate(condition.edit_specs, 1):
            place = f", edit {number} of {count}" if count > 1 else ""
            yield f"{condition.method}{place}", facts_of(edit_spec.method)


def render_bench(
    table: Table,
    results: pl.DataFrame,
    picture: Picture,
    *,
    methods: Sequence[tuple[str, Mapping[str, Any]]] = (),
    sha256: str = "",
    command: str = "",
) -> str:
    """Return the page of a bench as HTML.

    Args:
        table: Of the results.
        results: The rows of `results.parquet`.
        picture: Returns a picture by its name.
        methods: Names of the methods with their facts, as `method_settings.facts_of` returns them.
        sha256: Of `results.parquet`.
        command: The command line of the bench, to print on the page.
    """
    all_columns, each = columns(table), lines(table)
    whole = pooled(table)
    has_parts = len(each) > len(whole)
    return fill(
        "table_page.html",
        script="sort.js",
        title=table.title or "Bench",
        lead=_lead(each, results),
        columns=all_columns,
        failures=failures(each, results),
        scatter=scatter(all_columns, whole, each if has_parts else ()),
        counts=count_chart(all_columns, whole),
        width=WIDTH,
        height=HEIGHT,
        whole=whole if has_parts else [],
        each=each,
        has_collapse=any(line.collapsed is not None for line in each),
        grids=grids(results, picture, amplifies(all_columns)),
        protocol=facts.protocol(table),
        prompt_sets=facts.prompt_sets(table),
        settings=facts.settings(methods),
        citation=facts.citation(table, sha256),
        command=command,
        short=facts.SHORT,
    )


def _lead(each: Sequence[Line], results: pl.DataFrame) -> str:
    """Return one sentence: how many methods, concepts and pictures."""
    methods = {line.method for line in each if not line.is_unedited}
    concepts = {line.concept for line in each if line.concept}
    pictures = results.select("model", "method", "concept", "prompt", "seed").n_unique()
    return (
        f"{counted(len(methods), 'method')} on {counted(len(concepts), 'concept')}: {pictures} pictures of "
        f"{counted(results['prompt'].n_unique(), 'prompt')}, the same seeds for the edited models and the unedited one."
    )
