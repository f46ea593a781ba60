"""A model card for an exported model, from the rows of a bench."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from turpentine.bench.lines import Line, Number, amplifies, columns, lines
from turpentine.bench.table import Table
from turpentine.core.atomic_files import write_text_whole
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import percent
from turpentine.core.markdown import escaped, front_matter, markdown_table
from turpentine.core.safe_text import safe_name
from turpentine.report.facts import citation, protocol, settings
from turpentine.report.failures import failures_of
from turpentine.runs.edit_store import EditRecord
from turpentine.runs.plan import Plan
from turpentine.runs.results import Results
from turpentine.runs.store import Store

CARDS = "cards"


def model_card(table: Table, condition: str, *entries: EditRecord, sha256: str = "") -> str:
    """Return the card of a line's edited model, as Markdown: what was done, the numbers, what to heed.

    Args:
        table: The numbers.
        condition: The line's id, as in the table's rows.
        entries: The records of its edits in their order, such as `store.edits.record` returns.
        sha256: Of `results.parquet`.

    Raises:
        BadArgument: No line has the id, or it is the unedited model's.
    """
    each = lines(table)
    line = next((line for line in each if line.conditions == (condition,)), None)
    if line is None or line.is_unedited:
        ids = ", ".join(line.conditions[0] for line in each if not line.is_unedited)
        raise BadArgument(f"No edited model of this table has the id {condition!r}: there are {ids or 'none'}.")
    verb = "amplified" if amplifies(columns(table)) else "erased"
    parts = [
        front_matter(_facts(line)),
        f"# {escaped(line.model)} with {escaped(line.concept)} {verb}",
        f"{escaped(line.method)} changed {escaped(line.model)}; all else is as in that model.",
        *_settings_tables(line, entries),
        "## What was measured",
        *_numbers(line),
        "## What to heed",
        *_heed(line, each),
        "## How it was measured",
        markdown_table(("", ""), ((escaped(name), escaped(text)) for name, text in protocol(table).items())),
        escaped(citation(table, sha256)),
    ]
    return "\n\n".join(parts) + "\n"


def write_model_cards(table: Table, results: Results, plan: Plan, store: Store) -> Path:
    """Write the card of each edited model of a finished bench into `cards/` of the store, and return that folder.

    Those of an earlier table are removed.

    Args:
        table: Of the results.
        results: Of the run.
        plan: Of the run.
        store: Of the run.

    Raises:
        LedgerError: The file of an edit is damaged.
        OSError: As the file system does.
    """
    folder = store.folder / CARDS
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for condition in plan.conditions:
        if condition.edit_spec is None:
            continue
        name = safe_name(f"{condition.method} {condition.concept}")
        entries = [entry for each in condition.edit_specs if (entry := store.edits.record(each))]
        card = model_card(table, condition.id, *entries, sha256=results.sha256)
        write_text_whole(folder / f"{name}-{condition.id}.md", card)
    return folder


def _facts(line: Line) -> dict[str, Any]:
    """Return what a hub reads."""
    tags = ["turpentine", "concept-erasure", line.method]
    return {"base_model": line.model, "library_name": "diffusers", "pipeline_tag": "text-to-image", "tags": tags}


def _settings_tables(line: Line, entries: Sequence[EditRecord]) -> Iterator[str]:
    """Yield the settings of each edit, of several with what it is of."""
    for number, entry in enumerate(entries, 1):
        ((_, values),) = settings([(line.method, {"settings": entry.settings})])
        texts = {"method": entry.method, "edit": entry.id, **values}
        if len(entries) > 1:
            yield f"Edit {number} of {len(entries)}, of {escaped(', '.join(entry.concepts))}:"
        yield markdown_table(("setting", "value"), ((escaped(name), escaped(text)) for name, text in texts.items()))


def _numbers(line: Line) -> Iterator[str]:
    rows = [
        (escaped(number.column.heading), _with_span(number.text, number.span), _change(number), str(number.pictures))
        for number in line.numbers
        if number
    ]
    yield markdown_table(("prompts", "now", "change from the unedited model", "pictures"), rows)
    yield "Rates are in percent, changes of rates in points; 95 % intervals are in brackets."


def _change(number: Number) -> str:
    return _with_span(number.change, number.change_span) or "–"


def _with_span(text: str, span: str) -> str:
    return f"{text} ({span})" if span else text


def _heed(line: Line, each: Sequence[Line]) -> Iterator[str]:
    """Yield the line's own failures, and what its numbers do not cover."""
    texts = [f"{kind.name}: {failure.sentence}" for kind in failures_of(line, each) for failure in kind.worst]
    if line.errors:
        texts.append(f"{line.errors} pictures could not be drawn or judged, and are in no rate")
    if line.broken is not None:
        texts.append(f"Blank pictures or noise: {percent(line.broken)}")
    texts.append("The intervals say what other seeds might give, not other prompts, nor prompts made to bring it back")
    yield "\n".join(f"- {escaped(text)}." for text in texts)
