from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from bench.benches import judge_spec, plan_of, results_of
from bench.stubs import Nudge

from turpentine.bench.metrics import Measure
from turpentine.bench.table import SCHEMA, Table, tabulate
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.runs.edit_store import EditRecord
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.specs import Condition, EditSpec
from turpentine.stats.intervals import Rate
from turpentine.tasks.case_rules import PromptCases, cases_of
from turpentine.tasks.cases import Case

NAMES = ["church", "dog", "fish", "horn"]
RULE = PromptCases(prompts=("a {}",), column="object")
CASES = {name: tuple(cases_of(RULE, [Concept(name)], NAMES)) for name in NAMES}


def chance(*key: object) -> float:
    return random.Random(repr(key)).random()


def see(condition: Condition, case: Case, seed: int) -> dict[str, Any]:
    """The same picture is seen alike in every line that has it; an edit loses its own concept."""
    amount = condition.edit_spec.method.amount if condition.edit_spec else 0
    edit = (condition.concept, amount) if amount else ()
    right = 0.1 if amount and case.group == "erased" else 0.7
    broken = "blank" if chance("broken", edit, case.prompt, seed) < 0.2 else None
    return {"hit": chance(edit, case.prompt, seed) < right, "broken": broken}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CASES, (1.0, 2.0), Protocol(seeds=tuple(range(7))))


@pytest.fixture(scope="module")
def table(plan: Plan) -> Table:
    made = EditRecord("Nudge", {}, [], "x.safetensors", "id", seconds=2.5, bytes=1234)
    return tabulate(plan, results_of(plan, see), lambda edit_spec: made, title="Toys")


def row(table: Table, method: str, concept: str, group: str, label: str = "") -> dict[str, Any]:
    wanted = {"method": method, "concept": concept, "group": group, "label": label}
    (found,) = [each for each in table.rows.iter_rows(named=True) if wanted.items() <= each.items()]
    return found


def test_the_columns_are_the_schema(table: Table) -> None:
    assert dict(table.rows.schema) == dict(SCHEMA)


def test_rates_and_intervals_are_those_of_the_rows(plan: Plan, table: Table) -> None:
    z = 1.959963984540054
    for condition in plan.conditions:
        for group in ("erased", "other"):
            cases = [case for case in condition.cases if case.group == group]
            hits = [see(condition, case, seed)["hit"] for case in cases for seed in range(7)]
            found = row(table, condition.method, condition.concept, group)
            n, p = len(hits), sum(hits) / len(hits)
            assert (found["pictures"], found["hits"], found["value"]) == (n, sum(hits), pytest.approx(p))
            spread = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
            low, high = ((p + z**2 / (2 * n) + sign * spread) / (1 + z**2 / n) for sign in (-1, 1))
            over_prompts = Rate.of(hits, [(case.label, case.prompt) for case in cases for _ in range(7)])
            assert over_prompts is not None and (found["low"], found["high"]) == (over_prompts.low, over_prompts.high)
            # Of one prompt it is Wilson's, of several it is no narrower.
            is_one = len(cases) == 1
            assert (
                found["low"] == pytest.approx(max(low, 0), abs=1e-12) if is_one else found["low"] <= max(low, 0) + 1e-12
            )
            assert (
                found["high"] == pytest.approx(min(high, 1), abs=1e-12)
                if is_one
                else found["high"] >= min(high, 1) - 1e-12
            )


def test_the_difference_is_to_the_unedited_model_on_the_same_cases(plan: Plan, table: Table) -> None:
    for found in table.rows.filter(method="nudge 1").iter_rows(named=True):
        base = row(table, "", found["concept"], found["group"], found["label"])
        assert found["diff"] == pytest.approx(found["value"] - base["value"])
        assert found["diff_low"] <= found["diff"] <= found["diff_high"]
    assert table.rows.filter(method="")["diff"].null_count() == len(table.rows.filter(method=""))


def test_the_unedited_models_others_are_what_the_classes_own_rates_say(table: Table) -> None:
    own = {name: row(table, "", name, "erased")["value"] for name in NAMES}
    for name in NAMES:
        others = (sum(own.values()) - own[name]) / (len(NAMES) - 1)
        assert row(table, "", name, "other")["value"] == pytest.approx(others)


def test_a_group_of_several_labels_has_a_row_for_each(table: Table) -> None:
    labels = table.rows.filter(method="nudge 2", concept="dog", group="other")["label"].to_list()
    assert labels == ["", "church", "fish", "horn"]
    assert table.rows.filter(group="erased")["label"].unique().to_list() == [""]
    assert table.groups["label"].unique().to_list() == [""]


def test_the_edits_cost_stands_beside_its_line_only(table: Table) -> None:
    rows = table.rows.filter(pl.col("condition") != "")
    assert rows.filter(method="nudge 1").select("seconds", "bytes").unique().rows() == [(2.5, 1234)]
    assert rows.filter(method="").select("seconds", "bytes").unique().rows() == [(None, None)]


def test_a_stack_costs_what_all_its_edits_cost(plan: Plan) -> None:
    line = plan.conditions[len(NAMES)]
    assert line.edit_spec
    top = replace(line, edit_spec=EditSpec(line.source, Nudge(9.0), line.concepts, "top", line.edit_spec))
    whole = Plan([plan.conditions[0], line, top])
    costs = {line.edit_spec: (2.5, 1000), top.edit_spec: (4.0, 234)}

    def record(edit_spec: EditSpec) -> EditRecord:
        seconds, size = costs[edit_spec]
        return EditRecord("Nudge", {}, [], "x.safetensors", "id", seconds=seconds, bytes=size)

    made = tabulate(whole, results_of(whole, see), record)
    assert row(made, "top", "church", "erased")["seconds"] == 6.5
    assert row(made, "top", "church", "erased")["bytes"] == 1234
    assert row(made, line.method, "church", "erased")["seconds"] == 2.5


def test_broken_and_failed_pictures_are_told_and_failed_ones_are_not_counted() -> None:
    plan = plan_of({"church": CASES["church"]}, (1.0,))

    def failing(condition: Condition, case: Case, seed: int) -> dict[str, Any]:
        if condition.edit_spec and seed == 0:
            return {"error": "It rained.", "hit": None}
        return {"hit": True, "broken": "noise" if condition.edit_spec and seed == 1 else None}

    table = tabulate(plan, results_of(plan, failing), lambda edit_spec: None)
    found = row(table, "nudge 1", "church", "other")
    assert (found["pictures"], found["errors"], found["hits"], found["value"]) == (9, 3, 6, 1.0)
    assert found["broken"] == pytest.approx(0.5)
    assert found["seconds"] is None
    assert row(table, "nudge 1", "church", "erased")["errors"] == 1
    assert row(table, "", "church", "other")["errors"] == 0


def test_prompts_that_lost_their_variety_are_told() -> None:
    plan = plan_of({"church": CASES["church"]}, (1.0,), Protocol(seeds=(0, 1)))

    def thumbnails(condition: Condition, case: Case, seed: int) -> dict[str, Any]:
        lost = condition.edit_spec and case.label in ("church", "dog")
        shade = 100 if lost else 40 + 150 * seed
        return {"hit": True, "thumbnail": bytes([shade]) * 192}

    table = tabulate(plan, results_of(plan, thumbnails), lambda edit_spec: None)
    assert row(table, "nudge 1", "church", "erased")["collapsed"] == 1
    assert row(table, "nudge 1", "church", "other")["collapsed"] == pytest.approx(1 / 3)
    assert row(table, "", "church", "other")["collapsed"] == 0


def test_what_is_better_depends_on_the_group_and_on_the_goal(plan: Plan) -> None:
    results = results_of(plan, lambda *what: {**see(*what), "score": 0.5})
    measures = [Measure("rate", "hit", "higher"), Measure("mean", "score", "lower")]

    def better(goal: Any) -> dict[tuple[str, str], str]:
        table = tabulate(plan, results, lambda edit_spec: None, measures=measures, goal=goal)
        return {(each["group"], each["measure"]): each["better"] for each in table.groups.iter_rows(named=True)}

    kept = {("other", "rate of hit"): "higher", ("other", "mean of score"): "lower"}
    assert better("erase") == {**kept, ("erased", "rate of hit"): "lower", ("erased", "mean of score"): "higher"}
    assert better("amplify") == {**kept, ("erased", "rate of hit"): "higher", ("erased", "mean of score"): "lower"}


@pytest.mark.parametrize(
    ("protocol", "revision", "named"),
    [
        (Protocol(steps=30, seeds=(0, 1, 2)), "1", "steps (20 and 30)"),
        (Protocol(seeds=(0, 1, 2), solver="dpm"), "1", "solver (ddim and dpm)"),
        (Protocol(seeds=(0, 1)), "1", "seeds"),
        (Protocol(seeds=(0, 1, 2)), "2", "judges"),
    ],
)
def test_lines_of_two_protocols_are_refused_and_the_difference_is_named(
    protocol: Protocol, revision: str, named: str
) -> None:
    one = plan_of({"church": CASES["church"]})
    other = plan_of({"church": CASES["church"]}, (), protocol, judge_spec(revision))
    both = Plan([*one.conditions, *other.conditions])
    with pytest.raises(BadArgument, match="different protocols") as caught:
        tabulate(both, results_of(both, see), lambda edit_spec: None)
    assert named in str(caught.value)


def test_lines_about_one_concept_that_were_asked_for_other_prompts_are_refused() -> None:
    plans = [plan_of({"church": CASES["church"][:count], "dog": CASES["dog"]}) for count in (3, 4)]
    both = Plan(dict.fromkeys(condition for each in plans for condition in each.conditions))
    with pytest.raises(BadArgument, match="Lines about church were asked for different prompts"):
        tabulate(both, results_of(both, see), lambda edit_spec: None)


def test_lines_of_models_in_two_number_formats_are_refused() -> None:
    plan = plan_of({"church": CASES["church"]})
    half = replace(plan.conditions[0], source=replace(plan.conditions[0].source, dtype="float16"))
    both = Plan([*plan.conditions, half])
    with pytest.raises(BadArgument, match=r"differ in dtype \(float32 and float16\)"):
        tabulate(both, results_of(both, see), lambda edit_spec: None)


def test_several_concepts_of_a_method_are_counted_together(plan: Plan, table: Table) -> None:
    for method in ("", "nudge 1", "nudge 2"):
        lines = [condition for condition in plan.conditions if condition.method == method]
        assert len(lines) == len(NAMES)
        for group in ("erased", "other"):
            rows = [
                (number, case, see(condition, case, seed)["hit"])
                for number, condition in enumerate(lines)
                for case in condition.cases
                if case.group == group
                for seed in range(7)
            ]
            rate = Rate.of([hit for *_, hit in rows], [(str(n), f"{c.label} {c.prompt}") for n, c, _ in rows])
            [found] = table.pooled.filter(method=method, group=group).iter_rows(named=True)
            assert rate is not None
            assert (found["concept"], found["hits"], found["judged"]) == (f"{len(NAMES)} concepts", rate.hits, rate.n)
            assert (found["low"], found["high"]) == pytest.approx((rate.low, rate.high))
            each = [row(table, method, name, group) for name in NAMES]
            assert found["diff"] is None or found["diff"] == pytest.approx(
                sum(one["diff"] * one["judged"] for one in each) / rate.n
            )


def test_of_one_concept_nothing_is_counted_together() -> None:
    one = plan_of({"church": CASES["church"]})
    assert tabulate(one, results_of(one, see), lambda edit_spec: None).pooled.is_empty()
