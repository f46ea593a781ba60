"""Benches that nobody ran: plans of small made-up models, and results as someone says that they were."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
from bench.stubs import DESCRIPTION, Nudge

from turpentine.bench import file as bench_file
from turpentine.concepts import Concept
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec
from turpentine.tasks.cases import Case

SOURCE = ModelSpec("toy", DESCRIPTION, "float32")
See = Callable[[Condition, Case, int], Mapping[str, Any]]


def judge_spec(revision: str = "1") -> JudgeSpec:
    """A judge that sees objects and gives scores."""
    facts = {"name": "stub", "revision": revision, "settings": {}}
    return JudgeSpec("stub", {}, facts, frozenset(), ("object", "score", "features"))


def plan_of(
    cases: Mapping[str, Sequence[Case]],
    amounts: Sequence[float] = (),
    protocol: Protocol | None = None,
    judge: JudgeSpec | None = None,
) -> Plan:
    """For each concept, by its text, the unedited line; and then one for each amount of a nudge."""
    protocol, judges = protocol or Protocol(seeds=(0, 1, 2)), (judge or judge_spec(),)
    conditions = [
        Condition(SOURCE, tuple(own), protocol, judges, concepts=(Concept(text),)) for text, own in cases.items()
    ]
    for amount in amounts:
        method = Nudge(amount)
        conditions += [
            Condition.edited(SOURCE, method, [Concept(text)], own, protocol, judges, f"nudge {amount:g}")
            for text, own in cases.items()
        ]
    return Plan(conditions)


def results_of(plan: Plan, see: See) -> pl.DataFrame:
    """The rows of `results.parquet`. see: what is found in the picture of a case: hit, error and columns of judges."""
    nothing = {"hit": None, "error": None, "broken": None}
    rows = [
        {"condition": condition.id, "group": case.group, "label": case.label, "prompt": case.prompt, "seed": seed}
        | nothing
        | dict(see(condition, case, seed))
        for condition in plan.conditions
        for case, _, (_, seed) in condition.rows()
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def print_benches(names: Sequence[str]) -> None:
    """Print of each bench by its name how many edits and measures it has, and what its judges download."""
    for name in names:
        bench = bench_file.load(name)
        edits = [
            edit for model in bench.spec.models for one in bench.spec.methods for edit in one.edits(model.source, ())
        ]
        downloads = [entry.judge.download for entry in bench.spec.judges]
        print(json.dumps([name, len(edits), len(bench.measures), downloads]))
