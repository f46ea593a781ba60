"""The last lines of `turpentine erase` and `turpentine amplify`: tables, the files, and how to use the edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from turpentine.cli.terminal import plain, say, say_json, say_prose, show_table
from turpentine.core.formatting import points_with_span, with_span

if TYPE_CHECKING:
    from pathlib import Path

    from turpentine.bench import Difference, Effect, ErasureResult, Rate
    from turpentine.bench.lines import Number
    from turpentine.edits import Change

_HEADLINE = ("erased", "scenes", "others", "pairs")


def as_json(result: ErasureResult) -> dict[str, Any]:
    """Return the outcome in types of JSON."""
    from turpentine.report.story import nothing_to_gain
    from turpentine.tasks.groups import called

    return {
        "concepts": [concept.text for concept in result.concepts],
        "method": result.edit.provenance.title,
        "edit": result.edit.id,
        "summary": {called(name, result.goal): effect for name, effect in result.effects.to_json().items()},
        "labels": [{**row, "group": called(row["group"], result.goal)} for row in result.effects.frame.to_dicts()],
        "rows": result.table.rows.to_dicts(),
        "left_out": result.left_out,
        "nothing_to_gain": bool(nothing_to_gain(result)),
        "errors": len(result.errors),
        "seconds": result.run.seconds,
        "files": {name: str(path) for name, path in result.files.items()},
    }


def show_outcome(result: ErasureResult, model: str, why: str = "", *, details: bool = True) -> None:
    """Print the outcome, in short first.

    Args:
        result: What was measured.
        model: Name of the model, for the lines that load it.
        why: Why the method, or what it trains, is this one; "" where somebody said so.
        details: Print the numbers of each group and label, too.
    """
    from turpentine.report.story import nothing_to_gain

    _show_why(why)
    is_judged = result.effects.summary["erased"].before is not None
    if is_judged:
        _show_summary(result)
    _show_measures(result)
    if details or not is_judged:
        say()
        _show_labels(result)
    for sentence in filter(None, (plain(result.left_out), nothing_to_gain(result))):
        say_prose(f"\n{sentence}")
    say_prose("\nIn brackets: 95 % intervals. Moved: the mean change of the pixels, in %.")
    if not details:
        say_prose("Each group and label has its row with --details, and in the report.")
    say()
    show_table(("", ""), result.files.items())
    _show_usage(result.files["edit"], model)


def show_edit(edit: Change, path: Path, model: str, why: str = "", *, json: bool) -> None:
    """Print what was made where nothing was measured.

    Args:
        edit: The change.
        path: Of its file.
        model: Name of the model, for the lines that load it.
        why: Why the method, or what it trains, is this one; "" where somebody said so.
        json: Print one JSON document.
    """
    if json:
        concepts = [concept.text for concept in edit.provenance.concepts]
        files = {"edit": str(path)}
        say_json({"concepts": concepts, "method": edit.provenance.title, "why": why, "edit": edit.id, "files": files})
        return
    _show_why(why)
    say(f"{edit.provenance.title}, not measured: {path}")
    _show_usage(path, model)


def _show_why(why: str) -> None:
    if why:
        say_prose(f"{why}\n")


def _show_labels(result: ErasureResult) -> None:
    """Print a row for each label, under one for its group."""
    from turpentine.tasks.groups import called

    rows: list[list[str]] = []
    strong: list[int] = []
    for group in result.effects.groups:
        strong.append(len(rows))
        rows.append([called(group.group, result.goal), *_numbers(group)])
        rows += [[f"  {one.label}", *_numbers(one)] for one in result.effects.labels if one.group == group.group]
    show_table(("shown as asked for, in %", "before", "after", "change", "moved"), rows, strong=strong)


def _show_summary(result: ErasureResult) -> None:
    from turpentine.tasks.groups import GROUPS, SUMMARIES, called

    texts = ", ".join(concept.text for concept in result.concepts)
    say_prose(f"{plain(texts)}, {called('erased', result.goal)}\n")
    summary, overall = result.effects.summary, result.effects.overall
    rows = [(GROUPS[SUMMARIES[name][-1]], *_numbers(summary[name])) for name in _HEADLINE if name in summary]
    rows.append(("blank or noise, of all", _rate(overall.broken_before), _rate(overall.broken_after), "", ""))
    if overall.collapsed:
        rows.append(("one picture for all seeds", "", f"{100 * overall.collapsed:.0f}", "", ""))
    show_table(("in short, in %", "before", "after", "change", "moved"), rows)


def _show_measures(result: ErasureResult) -> None:
    """Print the measures other than hits and moved pixels."""
    from turpentine.report.story import measures

    rows = [
        (heading, _with_span(before), _with_span(after), after.change or "-")
        for heading, before, after in measures(result)
    ]
    if rows:
        say()
        show_table(("other measures", "before", "after", "change"), rows)


def _with_span(number: Number | None) -> str:
    if number is None:
        return "-"
    return f"{number.text} ({number.span})" if number.span else number.text


def _numbers(effect: Effect) -> tuple[str, str, str, str]:
    moved = "-" if effect.moved is None else f"{100 * effect.moved:.1f}"
    return _rate(effect.before), _rate(effect.after), _difference(effect.difference), moved


def _rate(rate: Rate | None) -> str:
    return "-" if rate is None else with_span(rate)


def _difference(difference: Difference | None) -> str:
    return "-" if difference is None else points_with_span(difference)


def _show_usage(path: Path, model: str) -> None:
    say("\nTo use the edit from Python:\n")
    for line in _usage(path, model):
        say(f"    {line}")


def _usage(path: Path, model: str) -> list[str]:
    loaded = "" if model == "emoji" else repr(model)
    is_guidance = path.suffix == ".json"
    return [
        "import turpentine as tp",
        *(["from turpentine.edits import load_change"] if is_guidance else []),
        f"model = tp.load({plain(loaded)})",
        f"{'load_change' if is_guidance else 'tp.Edit.load'}({plain(repr(str(path)))}).apply(model)",
    ]
