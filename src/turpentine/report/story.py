"""What a page of an erasure says: title, first sentence, the few numbers, the tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from turpentine.bench import GROUPS, Change, ErasureResult
from turpentine.core.formatting import duration
from turpentine.tasks.groups import SUMMARIES, heading, is_kept


@dataclass(frozen=True)
class Tile:
    """One of the few numbers. is_kept: a fall is damage, not success."""

    name: str
    change: Change
    is_kept: bool


@dataclass(frozen=True)
class Table:
    """The changes of a group's labels, with that of the whole group."""

    name: str
    what: str
    whole: Change
    labels: tuple[Change, ...]
    is_kept: bool


DONE = {"erase": "erased", "amplify": "amplified"}
"""What became of the concepts, by what was wanted of them."""
_FROM = {"erase": "from", "amplify": "in"}


def title(result: ErasureResult) -> str:
    """What was erased, or amplified."""
    return " and ".join(concept.text for concept in result.concepts)


def lead(result: ErasureResult) -> str:
    """One sentence: how, from what, when, and on how many pictures the numbers stand."""
    run, pictures = result.run, len(result.before.images)
    model, seeds = run.about["model"]["name"], run.identity["protocol"]["seeds"]
    done, seconds = DONE[result.goal].capitalize(), run.seconds.get("erase", 0)
    began = datetime.fromisoformat(run.started)
    return (
        f"{done} with {result.edit.provenance.title} {_FROM[result.goal]} the model {model}, in {duration(seconds)}, "
        f"on {began.day} {began:%B %Y}. "
        f"The model drew the same {pictures} pictures before and after: "
        f"{pictures // len(seeds)} prompts, {_count(len(seeds), 'seed')} each."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def tiles(result: ErasureResult) -> list[Tile]:
    """The headline: what was to go, and the kept things of its kind; only what has a truth."""
    kind, summary = result.concepts[0].kind, result.comparison.summary
    named_for = {name: groups[-1] for name, groups in SUMMARIES.items() if name in summary and summary[name].before}
    return [Tile(heading(group, kind), summary[name], is_kept(group)) for name, group in named_for.items()]


def broken(result: ErasureResult) -> str:
    """How many pictures show nothing, or noise."""
    overall = result.comparison.overall
    before, after = overall.broken_before, overall.broken_after
    return f"Blank pictures or noise: {before.hits} of {before.n} before, {after.hits} of {after.n} after."


def tables(result: ErasureResult) -> list[Table]:
    """A table for each group of cases that has a truth."""
    return [_table(result, group) for group in result.comparison.groups if group.before]


def _table(result: ErasureResult, whole: Change) -> Table:
    labels = tuple(_labels(result, whole.group))
    name = heading(whole.group, result.concepts[0].kind)
    what = GROUPS.get(whole.group, "")
    return Table(name, "" if what == name.lower() else what, whole, labels, is_kept(whole.group))


def _labels(result: ErasureResult, group: str) -> Iterator[Change]:
    return (change for change in result.comparison.labels if change.group == group)
