from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from bench.stubs import CASES, DESCRIPTION, QUICK, Nudge, StubJudge
from hypothesis import given
from hypothesis import strategies as st

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.runs.batches import Batch, Item
from turpentine.runs.ledger import LedgerError
from turpentine.runs.method_settings import facts_of
from turpentine.runs.plan import Plan, cut
from turpentine.runs.plan_file import FORMAT, read_plan, write_plan
from turpentine.runs.specs import Condition, DrawSpec, EditSpec, JudgeSpec, ModelSpec, StackPart
from turpentine.tasks.cases import Case

SOURCE = ModelSpec("toy", DESCRIPTION, "float32")
JUDGE = JudgeSpec.of(StubJudge())
COMPARES = JudgeSpec("distance", {"on": "edges"}, {"name": "distance"}, frozenset({"reference"}), ("distance",))
CHURCH, DOG = Concept("church", keep=("house",)), Concept("dog", templates=("{}", "a {}"))


def condition(amount: float | None = None, concept: Concept = CHURCH, **changes: object) -> Condition:
    """A line with the edit of this amount, None for none."""
    edit_spec = None if amount is None else EditSpec(SOURCE, Nudge(amount), (concept,), f"nudge {amount}")
    return replace(Condition(SOURCE, tuple(CASES), QUICK, (JUDGE,), edit_spec, (concept,)), **changes)


pairs = st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 20)), unique=True, max_size=60)


@given(pairs, st.integers(1, 9))
def test_batches_hold_each_picture_once_and_none_more_than_the_size(asked: list[tuple[str, int]], size: int) -> None:
    batches = list(cut(asked, size))
    assert Counter(pair for batch in batches for pair in batch) == Counter(asked)
    assert all(0 < len(batch) <= size for batch in batches)


@given(pairs, pairs, st.integers(1, 9))
def test_a_prompt_with_many_seeds_is_cut_the_same_in_whatever_company(
    asked: list[tuple[str, int]], company: list[tuple[str, int]], size: int
) -> None:
    own = [("many seeds", seed) for seed in range(size)]
    batches = [batch for batch in cut([*asked, *own, *company], size) if ("many seeds", 0) in batch]
    assert batches == [tuple(own)]


def test_keys_are_sha256_of_what_they_are_of() -> None:
    [draw_spec] = condition().pictures
    facts = (
        sha256(DESCRIPTION),
        None,
        {"guidance_scale": 4.0, "negative_prompt": "", "size": None, "solver": "ddim", "steps": 1},
    )
    assert draw_spec.digest == sha256(list(facts))
    assert Item(draw_spec.digest, "a dog", 3).key == sha256([draw_spec.digest, "a dog", 3])
    assert Batch(draw_spec, (("a dog", 3), ("é", 4))).key == sha256([draw_spec.digest, [["a dog", 3], ["é", 4]]])


def sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        *({"source": replace(SOURCE, model={**DESCRIPTION, name: "other"})} for name in DESCRIPTION),
        {"protocol": replace(QUICK, steps=2)},
        {"protocol": replace(QUICK, guidance_scale=1.0)},
        {"protocol": replace(QUICK, solver="euler")},
        {"protocol": replace(QUICK, size=64)},
        {"protocol": replace(QUICK, negative_prompt="ugly")},
        {"edit_spec": EditSpec(SOURCE, Nudge(), (CHURCH,))},
    ],
)
def test_whatever_decides_a_picture_is_in_its_state(changed: dict[str, object]) -> None:
    assert states(condition(**changed)).isdisjoint(states(condition()))


def test_what_decides_no_picture_is_not_in_its_state() -> None:
    same = condition(source=replace(SOURCE, load="elsewhere", device="cuda:1"), protocol=replace(QUICK, batch_size=1))
    assert {draw_spec.digest for draw_spec in states(same)} == {draw_spec.digest for draw_spec in states(condition())}


def states(line: Condition) -> set[DrawSpec]:
    return set(line.pictures)


def test_methods_with_other_settings_or_concepts_are_other_edits() -> None:
    made = [EditSpec(SOURCE, Nudge(amount), (one,)) for amount in (1, 2) for one in (CHURCH, DOG)]
    assert len({edit_spec.key for edit_spec in made}) == 4
    assert EditSpec(SOURCE, Nudge(1), (CHURCH,), "nudge") == EditSpec(SOURCE, Nudge(1), (CHURCH,), "other name")


def stacked(*amounts: float, concept: Concept = CHURCH) -> EditSpec:
    """Edits of these amounts, each on top of those before it."""
    parts = [StackPart(Nudge(amount), (concept,), f"nudge {amount:g}") for amount in amounts]
    return EditSpec.stacked(SOURCE, parts, ", then ".join(part.name for part in parts))


def test_every_edit_of_a_stack_and_their_order_decide_its_key() -> None:
    stacks = [
        *itertools.permutations((1, 2, 3)),
        *itertools.permutations((1, 2, 3), 2),
        *((1,), (2,), (3,), (1, 1), (1, 1, 1)),
    ]
    assert len({stacked(*amounts).key for amounts in stacks}) == len(stacks)
    assert stacked(1, 2, concept=DOG).key not in {stacked(*amounts).key for amounts in stacks}
    assert stacked(1) == EditSpec(SOURCE, Nudge(1), (CHURCH,))
    top = stacked(1, 2)
    assert top.key == sha256([SOURCE.key, facts_of(Nudge(2)), [asdict(CHURCH)], stacked(1).key])
    assert [each.name for each in top.stack] == ["nudge 1", "nudge 1, then nudge 2"]
    assert [each.method for each in top.stack] == [Nudge(1), Nudge(2)]


def test_edits_that_stacks_and_lines_have_in_common_are_made_once_and_before_those_on_top_of_them() -> None:
    lines = [condition(edit_spec=edit) for edit in (stacked(1, 2), stacked(1), stacked(1, 3), stacked(2))]
    plan = Plan([condition(), *lines])
    assert list(plan.edit_specs) == [stacked(1), stacked(1, 2), stacked(1, 3), stacked(2)]
    counts = plan.counts
    assert (counts.erasures, counts.edits, counts.shared_edits) == (6, 4, 2)
    assert counts.distinct == 5 * 6


def test_what_several_lines_need_is_done_once() -> None:
    fewer = tuple(CASES[:2])
    plan = Plan([condition(1), condition(2), condition(), condition(concept=DOG), condition(1, cases=fewer)])
    counts = plan.counts
    assert (counts.conditions, counts.erasures, counts.edits, counts.shared_edits) == (5, 3, 2, 1)
    assert (counts.pictures, counts.distinct, counts.shared_pictures) == (4 * 6 + 4, 18, 10)
    assert counts.judged == 18
    assert len({job.batch.key for job in plan.jobs}) == len(plan.jobs)


def test_a_case_may_have_a_seed_and_a_guidance_of_its_own() -> None:
    own = Case("erased", "row 7", "a church", seed=123, guidance_scale=7.5)
    line = condition(cases=(own, CASES[0]))
    drawn = {draw_spec.guidance_scale: list(pairs) for draw_spec, pairs in line.pictures.items()}
    assert drawn == {7.5: [("a church", 123)], 4.0: [("church", 0), ("church", 1)]}


def test_what_a_judge_compares_with_is_drawn_first_also_without_a_line_of_its_own() -> None:
    plan = Plan([condition(1, judges=(JUDGE, COMPARES))])
    edited = [job for job in plan.jobs if job.batch.draw_spec.edit_spec]
    unedited = plan.jobs[: len(plan.jobs) - len(edited)]
    assert edited == list(plan.jobs[len(unedited) :])
    assert sum(len(job.batch) for job in unedited) == sum(len(job.batch) for job in edited) == 6
    assert all(not job.judges for job in unedited)
    for job in edited:
        found = plan.references(job)
        assert all(pair in batch.pairs for pair, batch in zip(job.batch.pairs, found, strict=True))
        assert plan.score_key(job, JUDGE) == job.batch.key != plan.score_key(job, COMPARES)


def test_two_judges_with_one_column_or_none_for_an_attribute_are_an_error() -> None:
    with pytest.raises(BadArgument, match="column object and style"):
        condition(judges=(JUDGE, replace(JUDGE, facts={"name": "another"})))
    with pytest.raises(BadArgument, match="nothing of object, style"):
        condition(judges=(COMPARES,))


def test_no_line_or_a_line_twice_is_an_error() -> None:
    for conditions in ([], [condition(), condition()]):
        with pytest.raises(BadArgument, match="one line at least"):
            Plan(conditions)


def test_a_plan_is_read_back_from_its_file(tmp_path: Path) -> None:
    cases = (Case("erased", "é", '"\n,', None, None, 5, 7.5), *CASES)
    plan = Plan([condition(1.5, DOG, cases=cases, judges=(JUDGE, COMPARES)), condition()])
    write_plan(tmp_path / "plan.json", plan, threads=3)
    read, threads = read_plan(tmp_path / "plan.json")
    assert threads == 3
    assert [job.batch.key for job in read.jobs] == [job.batch.key for job in plan.jobs]
    assert [one.id for one in read.conditions] == [one.id for one in plan.conditions]
    assert read.conditions[0] == plan.conditions[0]
    assert read.judges == plan.judges
    assert [judge.settings for judge in read.judges] == [{}, {"on": "edges"}]
    assert (read.edit_specs, read.edit_specs[0].name) == (plan.edit_specs, "nudge 1.5")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "threads": 1, "conditions": [{}], "cases": []}'])
def test_a_file_that_holds_no_plan_is_one_sentence_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(LedgerError, match=r"plan\.json does not hold"):
        read_plan(tmp_path / "plan.json")


def test_a_newer_turpentines_plan_is_told_by_its_format(tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.json", Plan([condition()]), threads=1)
    text = (tmp_path / "plan.json").read_text().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}')
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(LedgerError, match=rf"has format {FORMAT + 1}.*update"):
        read_plan(tmp_path / "plan.json")
