"""Runs a bench of attacks: the edits of each concept, and each attack on them beside its controls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from turpentine.attack.budget import Budget
from turpentine.attack.controls import EDITED, Battery, Controls, battery, unseen
from turpentine.attack.harness import Attack, Trial
from turpentine.attack.victim import Victim
from turpentine.bench.attack_file import AttackSpec
from turpentine.concepts import Concept
from turpentine.core.errors import AbsentConcept
from turpentine.core.formatting import with_span
from turpentine.core.safe_text import safe_name
from turpentine.edits import Change
from turpentine.models import Model
from turpentine.runs.edit_store import EditStore
from turpentine.runs.specs import EditSpec, ModelSpec
from turpentine.stats.intervals import Rate

PARTS, EDITS, ARTEFACTS = "parts", "edits", "artefacts"


@dataclass(frozen=True, eq=False)
class AttackTable:
    """What a bench of attacks came to.

    Attributes:
        title: Of the bench.
        rows: For each model, concept, method, attack and arm: `hits`, `n`, `success`, `low`, `high`, and what was
            spent. Those of controls are the same for all methods.
        skipped: Why a concept could not be attacked, by model and concept.
    """

    title: str
    rows: pl.DataFrame
    skipped: dict[str, str]

    def pooled(self) -> pl.DataFrame:
        """Return the rates over all concepts, by model, attack, arm and method, with intervals over concepts."""
        if self.rows.is_empty():
            return self.rows
        own = self.rows.with_columns(method=pl.when(pl.col("arm") == EDITED).then("method").otherwise(pl.lit("")))
        own = own.unique(["model", "concept", "method", "attack", "arm"], maintain_order=True)
        groups = own.group_by("model", "attack", "arm", "method", maintain_order=True)
        each = groups.agg(pl.col("hits", "n"), concepts=pl.len())
        rates = [over_concepts(hits, counts) for hits, counts in each.select("hits", "n").iter_rows()]
        return each.with_columns(
            hits=pl.Series([rate.hits for rate in rates]),
            n=pl.Series([rate.n for rate in rates]),
            success=pl.Series([rate.value for rate in rates]),
            low=pl.Series([rate.low for rate in rates]),
            high=pl.Series([rate.high for rate in rates]),
        )

    def board(self) -> tuple[list[str], list[list[str]]]:
        """Return headings and lines to print: a line an attack, a column a method or a control."""
        whole = self.pooled()
        if whole.is_empty():
            return [], []
        columns = list(dict.fromkeys(whole.select("model", "arm", "method").rows()))
        columns.sort(key=lambda each: each[1] != EDITED)
        lines = []
        for attack in whole["attack"].unique(maintain_order=True):
            cells = []
            for model, arm, method in columns:
                rows = whole.filter(model=model, attack=attack, arm=arm, method=method).rows(named=True)
                cells.append(with_span(_rate(rows[0])) if rows else "")
            lines.append([attack, *cells])
        return ["attack", *(f"{method or arm}, %" for _, arm, method in columns)], lines


def over_concepts(hits: Sequence[int], counts: Sequence[int]) -> Rate:
    """Return the rate of all concepts together, with an interval over them.

    Args:
        hits: Of each concept.
        counts: Its pictures, 1 or more.

    Example:
        >>> rate = over_concepts([20, 0], [20, 20])
        >>> f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"
        '50% (0% to 100%)'
    """
    outcomes = [picture < hit for hit, count in zip(hits, counts, strict=True) for picture in range(count)]
    clusters = [(concept,) for concept, count in enumerate(counts) for _ in range(count)]
    rate = Rate.of(outcomes, clusters)
    assert rate is not None  # no attack draws no picture
    return rate


def _rate(row: Mapping[str, Any]) -> Rate:
    return Rate(row["hits"], row["n"], (row["low"], row["high"]))


def run_attack_bench(
    spec: AttackSpec,
    folder: Path,
    load: Callable[[Any], Model],
    progress: Callable[[int, int], None] | None = None,
) -> AttackTable:
    """Make the edits, attack each, and write artefacts and the table; the same call goes on from where it broke off.

    Args:
        spec: From the file.
        folder: For edits, parts, artefacts and the table.
        load: Loads a model as the file writes it.
        progress: Called with edits attacked and in all.

    Raises:
        TurpentineError: An edit cannot be made. A concept that the unedited model does not draw is skipped, and named.
    """
    rows: list[pl.DataFrame] = []
    skipped: dict[str, str] = {}
    total, done = len(spec.models) * len(spec.concepts) * len(spec.methods), 0
    for entry in spec.models:
        model = load(entry)
        source = ModelSpec.of(model, entry.source)
        for concept in spec.concepts:
            for method in spec.methods:
                edit_spec = EditSpec(source, method.method_for(entry.source), (concept,), method.name)
                if f"{model.name}, {concept.text}" not in skipped:
                    try:
                        outcome = _attacked(spec, model, edit_spec, concept, folder)
                        rows.append(_rows(outcome, model, concept, method.name))
                        _save_artefacts(outcome, folder / ARTEFACTS / safe_name(f"{concept.text}-{method.name}"))
                    except AbsentConcept as error:
                        skipped[f"{model.name}, {concept.text}"] = str(error)
                done += 1
                if progress:
                    progress(done, total)
    table = AttackTable(spec.title, pl.concat(rows) if rows else pl.DataFrame(), skipped)
    if rows:
        table.rows.write_parquet(folder / "attacks.parquet")
        table.pooled().write_csv(folder / "attacks.csv")
    return table


def _attacked(spec: AttackSpec, model: Model, edit_spec: EditSpec, concept: Concept, folder: Path) -> Battery:
    """Attack one edit of one concept."""
    attacks: list[Attack] = [entry.method_for(edit_spec.source.load) for entry in spec.attacks]
    change = edit_of(EditStore(folder / EDITS), edit_spec, model)
    return battery(
        attacks,
        Victim(model, (change,)),
        concept,
        original=model,
        judge=spec.judge.judge,
        controls=Controls(unseen(spec.never) if spec.never else None),
        budget=Budget(**dict(spec.budget)),
        trial=Trial(**dict(spec.trial)),
        seed=spec.seed,
        cache=folder / PARTS,
        progress=lambda done, total: None,
    )


def edit_of(store: EditStore, edit_spec: EditSpec, model: Model) -> Change:
    """Return the edit of a spec, made now where it is not in the store."""
    record = store.record(edit_spec)
    if record is None or record.error:
        start = time.monotonic()
        with store.checkpoint(edit_spec) as checkpoint:
            change = edit_spec.method(model, edit_spec.concepts, progress=lambda *_: None, checkpoint=checkpoint)
            store.put(edit_spec, change, time.monotonic() - start)
    return store.load(edit_spec)


def _rows(outcome: Battery, model: Model, concept: Concept, method: str) -> pl.DataFrame:
    facts = {"model": model.name, "concept": concept.text, "method": method}
    return outcome.table.select(*(pl.lit(value).alias(name) for name, value in facts.items()), pl.all())


def _save_artefacts(outcome: Battery, folder: Path) -> None:
    """Write what each attack found on the edited model."""
    folder.mkdir(parents=True, exist_ok=True)
    for (name, arm), each in outcome.outcomes.items():
        if arm == EDITED:
            each.artefact.save(folder / f"{name}.safetensors")
