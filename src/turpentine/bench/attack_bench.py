"""Runs a bench of attacks: the edits of each concept, and each attack on them beside its controls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from turpentine.attack.controls import EDITED, HIDDEN, NEVER, NO_ATTACK
from turpentine.bench.attack_file import AttackSpec
from turpentine.bench.attack_jobs import AttackJob, ModelJobs
from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import AbsentConcept, TurpentineError
from turpentine.core.formatting import with_span
from turpentine.models import Model
from turpentine.runs.leases import Leases
from turpentine.stats.equivalence import Outcomes, rate_difference
from turpentine.stats.intervals import Difference, Rate

TAIL = 0.025
"""Beyond each end of an interval."""
LEASES, LOOK_AGAIN = "leases", 2.0
"""Where processes that share the work say what they are at, and seconds until one looks again whether it is done."""
TABLE, POOLED, CURVES = "attacks.parquet", "attacks.csv", "curves.parquet"


@dataclass(frozen=True, eq=False)
class AttackTable:
    """What a bench of attacks came to.

    Attributes:
        title: Of the bench.
        rows: For each model, concept, method, attack, arm and seed of the search: `hits`, `n`, `success`, `low`,
            `high`, what was spent, and `outcomes`, of each picture. Controls have no method, plain prompts no seed;
            what was never seen stands as a concept.
        curves: For each of these the success at each `stage` of the search, with what was spent until then.
        skipped: Why a concept could not be attacked, by model and concept.
        errors: Why an attack could not be run, by model, concept, method and attack.
    """

    title: str
    rows: pl.DataFrame
    curves: pl.DataFrame = field(default_factory=pl.DataFrame)
    skipped: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that it is written to."""
        return TABLE, POOLED, CURVES

    @cached_property
    def pooled(self) -> pl.DataFrame:
        """The rates over all concepts, by model, attack, arm and method, with intervals over concepts.

        With one concept the interval is its own.
        """
        if self.rows.is_empty():
            return self.rows
        groups = self.over_seeds.group_by("model", "attack", "arm", "method", maintain_order=True)
        each = groups.agg(pl.col("hits", "n", "low", "high"), concepts=pl.len())
        rates = [_together(*row) for row in each.select("hits", "n", "low", "high").iter_rows()]
        return each.with_columns(**_columns_of(rates))

    def rate(self, model: str, attack: str, arm: str, method: str = "") -> Rate | None:
        """Return a rate over all concepts, None where that was not tried.

        Args:
            model: Name of the model.
            attack: Name of the attack.
            arm: Edited, or a control.
            method: Name of the method; "" for a control.
        """
        if self.rows.is_empty():
            return None
        rows = self.pooled.filter(model=model, attack=attack, arm=arm, method=method).rows(named=True)
        return rate_of(rows[0]) if rows else None

    def strongest(self, model: str, method: str) -> tuple[str, Rate] | None:
        """Return the attack that brings most back of a method's edits, and its rate over all concepts."""
        tried = [(name, self.rate(model, name, EDITED, method)) for name in self.attacks if name != NO_ATTACK]
        rates = [(name, rate) for name, rate in tried if rate is not None]
        return max(rates, key=lambda each: each[1].value, default=None)

    @cached_property
    def over_seeds(self) -> pl.DataFrame:
        """The rates of each concept over the seeds of its searches.

        With several seeds the interval is over them; with one it is the row's own, over prompts or pictures.
        """
        keys = ("model", "attack", "arm", "method", "concept")
        each = self.rows.group_by(*keys, maintain_order=True).agg(pl.col("hits", "n", "low", "high", "outcomes"))
        rates = [_together(*row) for row in each.select("hits", "n", "low", "high").iter_rows()]
        return each.with_columns(**_columns_of(rates), outcomes=pl.col("outcomes").list.first())

    @property
    def columns(self) -> list[tuple[str, str, str]]:
        """Model, arm and method of each column of the board: methods first, then controls."""
        pairs = self.rows.select("model", "arm", "method").unique(maintain_order=True).rows() if len(self.rows) else []
        return sorted(pairs, key=lambda each: each[1] != EDITED)

    @property
    def attacks(self) -> list[str]:
        """Names of the attacks, "no attack" first."""
        names: list[str] = self.rows["attack"].unique(maintain_order=True).to_list() if len(self.rows) else []
        return names

    def board(self) -> tuple[list[str], list[list[str]]]:
        """Return headings and lines to print: a line an attack, a column a method or a control."""
        if self.rows.is_empty():
            return [], []
        lines = []
        for attack in self.attacks:
            rates = [self.rate(model, attack, arm, method) for model, arm, method in self.columns]
            lines.append([attack, *(with_span(rate) if rate else "" for rate in rates)])
        return ["attack", *(f"{method or arm}, %" for _, arm, method in self.columns)], lines

    def has_power(self, model: str, attack: str) -> bool | None:
        """Return whether an attack opens what only hides, more often than plain prompts do, beyond its interval.

        None where that was not tried. The zero of an attack without power says nothing.
        """
        opened, plain = self.rate(model, attack, HIDDEN), self.rate(model, NO_ATTACK, HIDDEN)
        return None if attack == NO_ATTACK or opened is None or plain is None else opened.low > plain.value

    def beyond(self, model: str, method: str, attack: str, arm: str = NEVER) -> Difference | None:
        """Return an attack's success on a method minus that on a control, with an interval of 95 % over concepts.

        Args:
            model: Name of the model.
            method: Name of the method.
            attack: Name of the attack.
            arm: The control; "edited" for the plain prompts of the same edits.
        """
        own = self._outcomes(model, EDITED, method, attack)
        other = (
            self._outcomes(model, arm, method, NO_ATTACK) if arm == EDITED else self._outcomes(model, arm, "", attack)
        )
        return rate_difference(own, other, TAIL) if own and other else None

    def curve(self, model: str, attack: str, arm: str, method: str) -> pl.DataFrame:
        """Return success against what was spent, over all concepts and seeds: for each stage `spent` and `success`.

        Of a search that ended before others its last stage counts on.

        Args:
            model: Name of the model.
            attack: Name of the attack.
            arm: Edited, or a control.
            method: Name of the method; "" for a control.
        """
        rows = self.curves.filter(model=model, attack=attack, arm=arm, method=method)
        searches = rows.partition_by("concept", "seed", maintain_order=True)
        unit = next((each for each in ("forward", "text", "judged") if rows[each].max()), "forward")
        stages = []
        for stage in range(max(map(len, searches), default=0)):
            there = pl.concat([each[min(stage, len(each) - 1)] for each in searches])
            rate = int(there["hits"].sum()) / int(there["n"].sum())
            stages.append({"spent": float(there[unit].to_numpy().mean()), "success": rate, "unit": unit})
        return pl.DataFrame(stages)

    def _outcomes(self, model: str, arm: str, method: str, attack: str) -> Outcomes | None:
        rows = self.rows.filter(model=model, arm=arm, method=method, attack=attack)
        pairs = [(hit, concept) for concept, hits in rows.select("concept", "outcomes").iter_rows() for hit in hits]
        return Outcomes(*map(tuple, zip(*pairs, strict=True))) if pairs else None


def over_clusters(hits: Sequence[int], counts: Sequence[int]) -> Rate:
    """Return the rate of all concepts, or of all searches for one, together, with an interval over them.

    Args:
        hits: Of each.
        counts: Its pictures, 1 or more.

    Example:
        >>> rate = over_clusters([20, 0], [20, 20])
        >>> f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"
        '50% (0% to 100%)'
    """
    outcomes = [picture < hit for hit, count in zip(hits, counts, strict=True) for picture in range(count)]
    clusters = [(concept,) for concept, count in enumerate(counts) for _ in range(count)]
    rate = Rate.of(outcomes, clusters)
    assert rate is not None  # no attack draws no picture
    return rate


def _together(hits: Sequence[int], counts: Sequence[int], low: Sequence[float], high: Sequence[float]) -> Rate:
    """Return the rate of several concepts or searches together; that of one is as it is."""
    return Rate(hits[0], counts[0], (low[0], high[0])) if len(hits) == 1 else over_clusters(hits, counts)


def rate_of(row: Mapping[str, Any]) -> Rate:
    """Return the rate of a row of the table, or of the pooled one."""
    return Rate(row["hits"], row["n"], (row["low"], row["high"]))


def run_attack_bench(
    spec: AttackSpec,
    folder: Path,
    load: Callable[[Any], Model],
    progress: Callable[[int, int], None] | None = None,
) -> AttackTable:
    """Make the edits, attack each, and write artefacts and the table; the same call goes on from where it broke off.

    A concept that the unedited model does not draw is left out, and so is an attack that cannot be run: both are named.
    Processes that make the same call on one folder share the work, a concept at a time, and each ends with the whole.

    Args:
        spec: From the file.
        folder: For edits, parts, artefacts and the table.
        load: Loads a model as the file writes it.
        progress: Called with jobs done and in all.
    """
    record, done = _JobOutcomes(), 0
    with closing(Leases(folder / LEASES)) as leases:
        for number, entry in enumerate(spec.models):
            each = ModelJobs(spec, entry, load(entry), folder)
            for place, job in _in_turn(each, leases):
                record.take((number, place), each, job)
                done += 1
                if progress:
                    progress(done, len(spec.models) * len(each.jobs))
    table = record.table(spec.title)
    if len(table.rows):
        for name, frame in ((TABLE, table.rows), (CURVES, table.curves)):
            with write_whole(folder / name) as aside:
                frame.write_parquet(aside)
        with write_whole(folder / POOLED) as aside:
            table.pooled.write_csv(aside)
    return table


def _in_turn(jobs: ModelJobs, leases: Leases) -> Iterator[tuple[int, AttackJob]]:
    """Yield all jobs and their places, those of a concept together, when no other process is at that concept."""
    groups: dict[tuple[str, bool], list[tuple[int, AttackJob]]] = {}
    for place, job in enumerate(jobs.jobs):
        groups.setdefault((job.concept.text, job.edit_spec is None), []).append((place, job))
    left = list(groups.values())
    while left:
        held = []
        for group in left:
            lease = leases.take(group[0][1].key)
            if lease is None:
                held.append(group)
                continue
            try:
                yield from group
            finally:
                leases.release(lease, done=True)
        if len(held) == len(left):
            time.sleep(LOOK_AGAIN)
        left = held


def _columns_of(rates: Sequence[Rate]) -> dict[str, pl.Series]:
    """Return rates as columns of a table; `rate_of` reads them back."""
    return {
        "hits": pl.Series([rate.hits for rate in rates]),
        "n": pl.Series([rate.n for rate in rates]),
        "success": pl.Series([rate.value for rate in rates]),
        "low": pl.Series([rate.low for rate in rates]),
        "high": pl.Series([rate.high for rate in rates]),
    }


class _JobOutcomes:
    """The rows of the jobs so far, those of controls once, and what could not be done."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[int, int], Mapping[str, Any]] = {}
        self._skipped: dict[str, str] = {}
        self._errors: dict[str, str] = {}

    def take(self, place: tuple[int, int], jobs: ModelJobs, job: AttackJob) -> None:
        """Do a job, unless its concept or its edit was in vain before."""
        concept = f"{jobs.model.name}, {job.concept.text}"
        edit = f"{concept}, {job.method}" if job.edit_spec else concept
        if concept in self._skipped or edit in self._errors:
            return
        try:
            jobs.make_edit(job)
        except TurpentineError as error:
            self._errors[edit] = str(error)
            return
        try:
            self._outcomes[place] = jobs.outcome(job)
        except AbsentConcept as error:
            self._skipped[concept] = str(error)
        except TurpentineError as error:
            self._errors[f"{edit}, {job.name}"] = str(error)

    def table(self, title: str) -> AttackTable:
        """Return the table, in the order of the jobs."""
        outcomes = [self._outcomes[place] for place in sorted(self._outcomes)]
        rows = {_key(row): row for outcome in outcomes for row in outcome["rows"]}
        curves = {(*_key(row), row["stage"]): row for outcome in outcomes for row in outcome["curves"]}
        all_rows, points = (pl.DataFrame(list(each.values()), infer_schema_length=None) for each in (rows, curves))
        return AttackTable(title, all_rows, points, skipped=self._skipped, errors=self._errors)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("model", "concept", "method", "attack", "arm", "seed"))
