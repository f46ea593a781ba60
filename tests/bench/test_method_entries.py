"""Stacks of edits in a bench's file: what they become, what they are called, and what is refused with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bench.benches import SOURCE

from turpentine.bench import file as bench_file
from turpentine.bench.attack_file import read_attack_bench
from turpentine.bench.method_entries import MethodEntry, MethodStack, begins
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, TurpentineError
from turpentine.erase.cad_amplify import CADAmplify
from turpentine.erase.esd import ESD
from turpentine.erase.uce import UCE
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.specs import EditSpec

DOCS = Path(__file__).parents[2] / "docs" / "bench.md"
TEXT = """\
title: Stacks
goal: amplify
models: [emoji]
concepts:
  - church
  - [dog, fish]
methods:
  - esd-x: {steps: 50}
  - stack:
      - esd-x: {steps: 50}
      - cad-amplify: {share: 0.005}
  - stack:
      - {uce: , of: {text: horn, keep: [dog]}}
      - each: uce
      - cad-amplify
judges: [emoji]
cases:
  - prompts: ["a {}"]
    of: [church, dog, fish]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stacks.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def plan_of(file: Path, *overrides: str) -> Plan:
    return bench_file.load(str(file), overrides).plan(lambda model: SOURCE, lambda source: Protocol())


def edits(edit_spec: EditSpec | None) -> list[tuple[type, tuple[str, ...]]]:
    stack = edit_spec.stack if edit_spec else ()
    return [(type(each.method), tuple(one.text for one in each.concepts)) for each in stack]


def test_a_stack_is_made_of_its_edits_in_the_files_order_each_of_the_lines_concepts_or_its_own(file: Path) -> None:
    conditions = plan_of(file).conditions
    both = ("dog", "fish")
    assert [edits(line.edit_spec) for line in conditions] == [
        [],
        [],
        [(ESD, ("church",))],
        [(ESD, both)],
        [(ESD, ("church",)), (CADAmplify, ("church",))],
        [(ESD, both), (CADAmplify, both)],
        [(UCE, ("horn",)), (UCE, ("church",)), (CADAmplify, ("church",))],
        [(UCE, ("horn",)), (UCE, ("dog",)), (UCE, ("fish",)), (CADAmplify, both)],
    ]
    own, top = conditions[-1].edit_specs[0], conditions[4].edit_specs[1]
    assert own.concepts == (Concept("horn", keep=("dog",)),)
    assert top.method.share == 0.005 and top.below == conditions[2].edit_spec
    assert [line.concept for line in conditions[-2:]] == ["church", "dog, fish"]


def test_a_stack_is_called_by_its_edits_alike_for_all_concepts(file: Path) -> None:
    esd, both = "esd-x steps=50", "esd-x steps=50, then cad-amplify share=0.005"
    three = "uce of horn, then uce for each concept, then cad-amplify"
    assert [line.method for line in plan_of(file).conditions] == ["", "", esd, esd, both, both, three, three]


def test_each_concept_can_have_its_own_edit_beside_one_for_all(file: Path) -> None:
    plan = plan_of(file, "goal=erase", "methods=[uce, {each: {uce: {lamb: 1.0}}}]", "concepts=[[dog, fish]]")
    assert [edits(line.edit_spec) for line in plan.conditions] == [
        [],
        [(UCE, ("dog", "fish"))],
        [(UCE, ("dog",)), (UCE, ("fish",))],
    ]
    assert plan.conditions[2].method == "uce lamb=1.0 for each concept"


def test_an_edit_that_a_stack_begins_with_may_be_of_another_kind_and_is_made_once(file: Path) -> None:
    counts = plan_of(file).counts
    assert (counts.erasures, counts.edits, counts.shared_edits) == (2 + 4 + 7, 10, 3)  # esd-x twice, and uce of horn
    with pytest.raises(BadArgument, match=r"line 8: esd-x is to erase, and this bench is to amplify"):
        plan_of(file, "methods.1.stack.0={esd-x: {steps: 51}}")
    with pytest.raises(BadArgument, match=r"line 9: cad-amplify is to amplify, and this bench is to erase"):
        plan_of(file, "goal=erase", "methods.2=uce")


def test_only_the_first_edits_of_a_longer_one_begin_it(file: Path) -> None:
    esd, stack, three = bench_file.load(str(file)).spec.methods
    assert isinstance(esd, MethodEntry) and isinstance(stack, MethodStack)
    assert begins(esd, stack) and not begins(stack, esd)
    assert not begins(esd, three) and not begins(stack, stack)
    assert begins(MethodStack(three.parts[:2]), three) and not begins(MethodStack(three.parts[1:]), three)


@pytest.mark.parametrize(
    ("old", "new", "line", "named"),
    [
        ("      - cad-amplify: {share: 0.005}\n", "      - cad-amplifi\n", 11, "No method is called 'cad-amplifi'"),
        ("share: 0.005", "share: 2", 11, "setting share of cad-amplify cannot be 2"),
        ("share: 0.005", "shares: 0.1", 11, "cad-amplify has no setting 'shares': did you mean 'share'"),
        ("      - cad-amplify: {share: 0.005}\n", "", 9, "at least 2 items"),
        ("text: horn", "text: ''", 13, "concept is empty"),
        ("text: horn", "texts: horn", 13, "A concept has no 'texts'"),
        ("of: {", "off: {", 13, "A method is written as its name"),
        ("- each: uce", "- {each: uce, of: dog}", 14, "no key 'of' beside each"),
        ("- each: uce", "- stack: [uce, uce]", 14, "A stack cannot stand in another one"),
        ("- each: uce", "- each: {uce: {lam: 1}}", 14, "uce has no setting 'lam'"),
        ("  - esd-x: {steps: 50}\n", "  - {stack: [uce, uce], of: dog}\n", 8, "no key 'of' beside stack"),
        ("  - esd-x: {steps: 50}\n", "  - {cad-amplify: , of: dog}\n", 8, "Only an edit of a stack is of its own"),
        ("  - [dog, fish]\n", "", 11, "no line has several: write concepts: .* or leave each out"),
        ("  - esd-x: {steps: 50}\n", "  - cad-amplify\n  - {stack: []}\n", 9, "at least 2 items"),
        ("  - esd-x: {steps: 50}\n", "  - stack: uce\n", 8, "methods.0.stack is 'uce'"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line_in_the_stack(file: Path, old: str, new: str, line: int, named: str) -> None:
    assert old in TEXT
    file.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(TurpentineError, match=named) as caught:
        bench_file.load(str(file))
    assert str(caught.value).startswith(f"{file}, line {line}: ")
    assert "\n" not in str(caught.value)


def test_a_stack_twice_is_told_though_it_is_written_in_two_ways(file: Path) -> None:
    twice = "methods=[cad-amplify, {stack: [uce, cad-amplify]}, {stack: [uce: {lamb: 0.5}, cad-amplify]}]"
    sentence = "--set methods: uce lamb=0.5, then cad-amplify is the same as uce, then cad-amplify on toy"
    with pytest.raises(BadArgument, match=re.escape(sentence)):
        plan_of(file, twice)
    with pytest.raises(BadArgument, match="uce for each concept is the same as uce on"):
        plan_of(file, "goal=erase", "methods=[uce, each: uce]")


@pytest.mark.parametrize("written", ["{stack: [uce, esd-x]}", "{each: uce}"])
def test_a_bench_of_attacks_takes_one_edit_at_a_time(written: str) -> None:
    with pytest.raises(BadArgument, match="--set methods: An attack is on one edit, and these are several"):
        read_attack_bench("emoji-attacks", [f"methods=[{written}]"])


def test_the_stacks_of_the_docs_are_what_they_say(file: Path) -> None:
    block = DOCS.read_text(encoding="utf-8").split("```yaml\n")[2].split("```")[0]
    file.write_text(block, encoding="utf-8")
    methods = [line.method for line in plan_of(file).conditions]
    assert methods == ["", "esd-x", "esd-x, then uce lamb=1.0 of fish", "uce for each concept"]
