"""The texts and tables of an erasure's page: title, first sentence, the few numbers, the tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from turpentine.bench import GROUPS, Effect, ErasureResult, Rate
from turpentine.bench.effects import MOVED
from turpentine.bench.lines import Number, lines
from turpentine.bench.table import HITS
from turpentine.core.formatting import counted, duration, percent
from turpentine.tasks.groups import SUMMARIES, heading, is_preserved


@dataclass(frozen=True)
class Tile:
    """One of the few numbers.

    Attributes:
        name: Of the cases.
        effect: Of the edit on them.
        is_preserved: Whether a fall is damage, not success.
    """

    name: str
    effect: Effect
    is_preserved: bool


@dataclass(frozen=True)
class Rates:
    """The effects in a group of cases.

    Attributes:
        name: Of the group.
        what: What it holds; "" where the name says it.
        whole: The effect on the whole group.
        labels: The effect on each label.
        is_preserved: Whether a fall is damage, not success.
    """

    name: str
    what: str
    whole: Effect
    labels: tuple[Effect, ...]
    is_preserved: bool


DONE = {"erase": "erased", "amplify": "amplified"}
"""What became of the concepts, by the goal of the run."""
_FROM = {"erase": "from", "amplify": "in"}


def title(result: ErasureResult) -> str:
    """Return what was erased, or amplified."""
    return " and ".join(concept.text for concept in result.concepts)


def lead(result: ErasureResult) -> str:
    """Return one sentence: how, from what, when, and on how many pictures the numbers stand."""
    run, pictures = result.run, result.effects.overall.pictures
    model, seeds = run.about["model"]["name"], run.identity["protocol"]["seeds"]
    done, seconds = DONE[result.goal].capitalize(), run.seconds.get("erase", 0)
    began = datetime.fromisoformat(run.started)
    return (
        f"{done} with {result.edit.provenance.title} {_FROM[result.goal]} the model {model}, in {duration(seconds)}, "
        f"on {began.day} {began:%B %Y}. "
        f"The model drew the same {pictures} pictures before and after: "
        f"{pictures // len(seeds)} prompts, {counted(len(seeds), 'seed')} each."
    )


def tiles(result: ErasureResult) -> list[Tile]:
    """Return the headline: what was to change, and what of its kind was to stay, of cases with ground truth."""
    kind, summary = result.concepts[0].kind, result.effects.summary
    named_for = {name: groups[-1] for name, groups in SUMMARIES.items() if name in summary and summary[name].before}
    return [Tile(heading(group, kind), summary[name], is_preserved(group)) for name, group in named_for.items()]


def soundness(result: ErasureResult) -> str:
    """Return how many pictures show nothing, or noise, or are missing, and how many prompts lost their variety."""
    overall = result.effects.overall
    before, after = map(_of, (overall.broken_before, overall.broken_after))
    sentences = [f"Blank pictures or noise: {before} before, {after} after."]
    if overall.collapsed:
        sentences.append(f"Prompts that give one picture for all seeds now: {percent(overall.collapsed)}.")
    if overall.errors:
        sentences.append(f"{counted(overall.errors, 'picture')} could not be drawn or judged, and are in no rate.")
    return " ".join(sentences)


def nothing_to_gain(result: ErasureResult) -> str:
    """Return that the model shows what was to be amplified in every picture already; "" where it does not."""
    before = result.effects.summary["erased"].before
    if result.goal != "amplify" or before is None or before.hits < before.n:
        return ""
    return (
        f"Nothing to gain: the unedited model shows {title(result)} in 100 % of the {before.n} pictures that ask for "
        "it already."
    )


def _of(rate: Rate | None) -> str:
    return "none drawn" if rate is None else f"{rate.hits} of {rate.n}"


def measures(result: ErasureResult) -> list[tuple[str, Number | None, Number]]:
    """Return the measures other than hits and moved pixels: heading, before, after."""
    before, after = lines(result.table)
    pairs = zip(before.numbers, after.numbers, strict=True)
    elsewhere = {str(HITS), str(MOVED)}
    return [(b.column.heading, a, b) for a, b in pairs if b and b.column.measure not in elsewhere]


def tables(result: ErasureResult) -> list[Rates]:
    """Return a table for each group of cases with ground truth."""
    return [_table(result, group) for group in result.effects.groups if group.before]


def _table(result: ErasureResult, whole: Effect) -> Rates:
    labels = tuple(effect for effect in _labels(result, whole.group) if effect.before)
    name = heading(whole.group, result.concepts[0].kind)
    what = GROUPS.get(whole.group, "")
    return Rates(name, "" if what == name.lower() else what, whole, labels, is_preserved(whole.group))


def _labels(result: ErasureResult, group: str) -> Iterator[Effect]:
    return (effect for effect in result.effects.labels if effect.group == group)
