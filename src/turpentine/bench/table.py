"""The table of a bench: each line's numbers with intervals, beside the unedited model's on the same seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import polars as pl

from turpentine.bench.metrics import NOTHING, Goal, Measure
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest
from turpentine.judges.collapse import collapse
from turpentine.runs.edit_store import EditRecord
from turpentine.runs.plan import Plan
from turpentine.runs.specs import Condition, EditSpec
from turpentine.tasks.groups import GROUPS, SUMMARIES

SCHEMA: Mapping[str, Any] = {
    "condition": pl.String,
    "model": pl.String,
    "method": pl.String,
    "concept": pl.String,
    "group": pl.String,
    "label": pl.String,
    "measure": pl.String,
    "better": pl.String,
    "pictures": pl.Int64,
    "hits": pl.Int64,
    "judged": pl.Int64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "diff": pl.Float64,
    "diff_low": pl.Float64,
    "diff_high": pl.Float64,
    "broken": pl.Float64,
    "collapsed": pl.Float64,
    "errors": pl.Int64,
    "protocol": pl.String,
    "seconds": pl.Float64,
    "bytes": pl.Int64,
}
"""The columns of a table's rows; `Table` says what they are."""

HITS = Measure("rate", "hit", "higher")

NO_HIT = pl.lit(None, dtype=pl.Boolean)

OTHERS, ALL = "others", "all"
"""Rows that are no group's: of what is of the concept's kind and is to stay, and of all pictures, each once."""


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers of one protocol, a row for each line, group of cases and measure, and for each label of the group.

    Nothing but the cases may differ in the protocol of a table, and these from concept to concept only. The columns of
    the rows are those of SCHEMA:

    - condition is the line's id in the results, model its name as `load` takes it, method the method's name, "" for the
      unedited model, and concept what is erased; several are joined by ", ".
    - a method with lines about several concepts has rows of all of them together, whose condition is "": a rate and a
      mean are of all pictures, another measure is the mean over the concepts.
    - group is one of `groups.GROUPS`, or OTHERS or ALL in a table with summaries; label is that of the cases, "" for
      the row of the whole group.
    - measure is such as "rate of hit", "mean of clip" or "fid of features"; a rate is 0 to 1. better is "lower",
      "higher", or null where neither is.
    - pictures is the number of the cases' pictures, judged of those that the value is of, and hits is of a rate, null
      for another measure.
    - value has the ends low and high of its 95 % interval, over prompts and what they are about; all are null where
      there is nothing to measure, the ends also where no interval can be given.
    - diff is the value minus that of the unedited model on the same cases and seeds, by pairs, with the ends diff_low
      and diff_high; null in the unedited model's own rows, the ends also of a distance from real pictures.
    - broken is the rate of blank pictures and noise, collapsed the share of prompts whose pictures are alike for all
      seeds, null where that was not measured, and errors the number of pictures that could not be drawn or judged.
    - protocol is the digest of what makes the numbers comparable, a key of `protocols`.
    - seconds is the time that making the edit took, and bytes the size of its file, of a stack those of all its edits;
      null without an edit.

    Attributes:
        rows: The numbers.
        title: Of the table.
        protocols: The facts of each digest.
    """

    rows: pl.DataFrame
    title: str
    protocols: Mapping[str, Mapping[str, Any]]

    @cached_property
    def groups(self) -> pl.DataFrame:
        """The rows of whole groups, a line each."""
        return self._whole.filter(pl.col("condition") != "")

    @cached_property
    def pooled(self) -> pl.DataFrame:
        """The rows of whole groups, several concepts together."""
        return self._whole.filter(pl.col("condition") == "")

    @property
    def _whole(self) -> pl.DataFrame:
        return self.rows.filter((pl.col("label") == "") & pl.col("group").is_in(list(GROUPS)))


def tabulate(
    plan: Plan,
    results: pl.DataFrame,
    edit_entry: Callable[[EditSpec], EditRecord | None],
    *,
    title: str = "",
    measures: Sequence[Measure] = (HITS,),
    goal: Goal = "erase",
    summaries: bool = False,
    references: pl.DataFrame | None = None,
) -> Table:
    """Count the results of a plan.

    Args:
        plan: The lines of the table.
        results: As `results.parquet` has them.
        edit_entry: Returns the record of an edit spec, such as `store.edits.record`.
        title: Of the table.
        measures: What is computed of each group of cases.
        goal: Whether pictures are to show the concepts less, or more.
        summaries: Add a row for the only label of a group, for `OTHERS` and for `ALL`.
        references: What judges saw in the plan's real pictures, as `runs.references.reference_rows` returns it.

    Raises:
        BadArgument: Lines are of different protocols; the difference is named.
    """
    check_one_protocol([(condition.concept, condition.comparable) for condition in plan.conditions])
    how = _Counting(measures, goal, references)
    rows = [
        {**_about(condition, edit_entry), **part}
        for condition, own, base in _paired(plan, results)
        for part in _parts(own, base, how, summaries)
    ]
    rows += _pooled(list(_paired(plan, results)), how)
    protocols = {digest(condition.comparable): condition.comparable for condition in plan.conditions}
    return Table(pl.DataFrame(rows, schema=SCHEMA), title, protocols)


class _Counting(NamedTuple):
    """What is computed of each group of cases, for which goal, and the rows of real pictures."""

    measures: Sequence[Measure]
    goal: Goal
    references: pl.DataFrame | None


def check_one_protocol(protocols: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Check that protocols differ in nothing but their cases, and in these from concept to concept only.

    Args:
        protocols: Each with the concept that its lines are about.

    Raises:
        BadArgument: They differ in more; the difference is named.
    """
    _check_cases(protocols)
    plain = [{**facts, "judges": _by_name(facts["judges"])} for _, facts in protocols]
    for facts in plain[1:]:
        differing = [key for key in facts if key != "cases" and facts[key] != plain[0].get(key)]
        if differing:
            differences = ", ".join(
                f"{key} ({_short(plain[0].get(key))} and {_short(facts[key])})" for key in differing
            )
            raise BadArgument(f"Lines of different protocols cannot stand in one table; they differ in {differences}.")


def _check_cases(protocols: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    cases_of: dict[str, str] = {}
    for concept, facts in protocols:
        if cases_of.setdefault(concept, facts["cases"]) != facts["cases"]:
            raise BadArgument(
                f"Lines about {concept or 'no concept'} were asked for different prompts ({cases_of[concept][:8]} and "
                f"{facts['cases'][:8]}): a rate of easier ones would look like a better method, so give each its table."
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _by_name(judges: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what distinguishes each judge, short enough for a sentence; the second of one name is "NAME#2"."""
    texts: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for judge in judges:
        name = judge["name"]
        counts[name] += 1
        key = name if counts[name] == 1 else f"{name}#{counts[name]}"
        texts[key] = f"{judge['revision'][:12]} {digest(judge['settings'])[:8]}"
    return texts


def _paired(plan: Plan, results: pl.DataFrame) -> Iterator[tuple[Condition, pl.DataFrame, pl.DataFrame | None]]:
    """Yield each line with its rows, and, if it is of an edit, those of the unedited model on the same cases.

    The same cases and seeds give rows in the same order.
    """
    parts = results.partition_by("condition", as_dict=True, maintain_order=True)
    for condition in plan.conditions:
        base = parts.get((replace(condition, edit_spec=None).id,)) if condition.edit_spec else None
        yield condition, parts[condition.id,], base


def _about(condition: Condition, edit_entry: Callable[[EditSpec], EditRecord | None]) -> dict[str, Any]:
    entries = [entry for each in condition.edit_specs if (entry := edit_entry(each))]
    return {
        "condition": condition.id,
        "model": condition.source.load,
        "method": condition.method,
        "concept": condition.concept,
        "protocol": digest(condition.comparable),
        "seconds": sum(entry.seconds for entry in entries) if entries else None,
        "bytes": sum(entry.bytes for entry in entries) if entries else None,
    }


def _parts(own: pl.DataFrame, base: pl.DataFrame | None, how: _Counting, summaries: bool) -> Iterator[dict[str, Any]]:
    """Yield the numbers of each group and of its labels, groups in their own order; then those of the summaries."""
    for group in sorted(own["group"].unique(), key=list(GROUPS).index):
        is_in = own["group"] == group
        labels = own.filter(is_in)["label"].unique(maintain_order=True).to_list()
        for label in ["", *(labels if summaries or len(labels) > 1 else [])]:
            chosen = is_in & (own["label"] == label) if label else is_in
            yield from _numbers(group, label, *_both(own, base, chosen), how)
    if summaries:
        kin = own["group"].is_in(SUMMARIES[OTHERS])
        if kin.any():
            yield from _numbers(OTHERS, "", *_both(own, base, kin), how)
        each_once = own.select(pl.struct("prompt", "seed").is_first_distinct()).to_series()
        # Cases that share a picture want different things of it, which have no common rate.
        rows, before = _both(own, base, each_once)
        before = None if before is None else before.with_columns(hit=NO_HIT)
        yield from _numbers(ALL, "", rows.with_columns(hit=NO_HIT), before, how)


_Paired: TypeAlias = tuple[Condition, pl.DataFrame, pl.DataFrame | None]


def _pooled(paired: Sequence[_Paired], how: _Counting) -> Iterator[dict[str, Any]]:
    """Yield the numbers of each method and model over all its concepts, where there are several."""
    methods: dict[tuple[str, str], list[_Paired]] = {}
    for each in paired:
        methods.setdefault((each[0].source.load, each[0].method), []).append(each)
    for (model, method), lines in methods.items():
        if len(lines) == 1:
            continue
        about = {"condition": "", "model": model, "method": method, "concept": f"{len(lines)} concepts"}
        for group in sorted({name for _, own, _ in lines for name in own["group"].unique()}, key=list(GROUPS).index):
            parts = [_both(own, base, own["group"] == group) for _, own, base in lines]
            parts = [(own, base) for own, base in parts if len(own)]
            for measure in how.measures:
                yield {**about, "group": group, "label": "", **_pooled_numbers(group, measure, parts, how)}


def _pooled_numbers(
    group: str, measure: Measure, parts: Sequence[tuple[pl.DataFrame, pl.DataFrame | None]], how: _Counting
) -> dict[str, Any]:
    value = measure.pooled_value(parts, how.references)
    pairs = [(own, base) for own, base in parts if base is not None]
    diff = measure.pooled_difference(pairs, how.references) if len(pairs) == len(parts) else NOTHING
    return {
        **{"measure": str(measure), "better": measure.better(group, how.goal)},
        **{"pictures": sum(len(own) for own, _ in parts), **value._asdict()},
        **{"diff": diff.value, "diff_low": diff.low, "diff_high": diff.high},
        "errors": sum(own["error"].is_not_null().sum() for own, _ in parts),
    }


def _both(own: pl.DataFrame, base: pl.DataFrame | None, chosen: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the chosen rows of a line, and of the unedited model's, which are in the same order."""
    return own.filter(chosen), None if base is None else base.filter(chosen)


def _numbers(
    group: str, label: str, rows: pl.DataFrame, base: pl.DataFrame | None, how: _Counting
) -> Iterator[dict[str, Any]]:
    state = _state(rows, base)
    for measure in how.measures:
        value = measure.value(rows, base, how.references)
        diff = NOTHING if base is None else measure.difference(rows, base, how.references)
        yield {
            **{"group": group, "label": label, "measure": str(measure), "better": measure.better(group, how.goal)},
            **{"pictures": len(rows), **value._asdict()},
            **{"diff": diff.value, "diff_low": diff.low, "diff_high": diff.high},
            **state,
        }


def _state(rows: pl.DataFrame, base: pl.DataFrame | None) -> dict[str, Any]:
    """Return whether pictures are broken, collapsed or missing."""
    sound = rows.filter(pl.col("error").is_null())
    return {
        "broken": sound["broken"].is_not_null().mean() if "broken" in rows.columns else None,
        "collapsed": collapse(rows, base)["collapsed"].mean() if "thumbnail" in rows.columns else None,
        "errors": len(rows) - len(sound),
    }
