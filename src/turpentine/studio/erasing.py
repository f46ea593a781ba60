"""Locate a concept's layers, erase it in those that are selected, and see what is gone and what else moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from turpentine.bench import Erasure, Protocol, run_erasure
from turpentine.bench.erasure_judges import cases_for
from turpentine.bench.erasure_result import ErasureResult
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import percent
from turpentine.core.hashing import digest
from turpentine.core.plugins import find
from turpentine.core.safe_text import safe_name
from turpentine.core.suggest import offer
from turpentine.edits import Change, Edit
from turpentine.explain.intervene import Intervene
from turpentine.judges import Judge
from turpentine.judges.base import sought
from turpentine.models import Model
from turpentine.report import write_report
from turpentine.report.pictures import data_uri
from turpentine.runs.method_settings import facts_of
from turpentine.studio.looks import labels_of
from turpentine.studio.state import PageState
from turpentine.tasks.cases import Case
from turpentine.tasks.erasure_cases import named_concept

METHODS: Mapping[str, str] = {
    "uce-aligned": "closed form, away from captions without the concept",
    "uce": "closed form, seconds",
    "uce-paper": "closed form, the published one",
    "esd-x": "trained, as many updates as you give",
}
"""Methods that erase in selected layers while somebody waits, and what to say of each."""
TRAINED = ("esd-x",)
SEEDS = 2
"""Pictures by which layers are compared."""
TOP = 4
"""Layers that are selected where nobody has selected any."""
EACH_GROUP: Mapping[str, int] = {"erased": 3, "scene": 1, "neighbour": 2}
"""Prompts of these groups that are drawn before and after, and one of each other group."""


def locate(model: Model, state: PageState, judge: Judge | None, cache: Path) -> dict[str, Any]:
    """Return how much a concept's pictures change where one layer reads the empty prompt, layer by layer.

    Args:
        model: Without changes.
        state: Whose concept is looked for.
        judge: Says where the concept goes; None where nobody does.
        cache: Of finished parts.

    Raises:
        EmptyConcept: The model has no word for the concept.
    """
    concept, seeds = concept_of(state), list(range(state.seed, state.seed + SEEDS))
    model.text.check_words(concept.text)
    knows = judge if judge is not None and sought(judge, concept.text) else None
    labels = labels_of(model)
    finding = Intervene(letters=locating_letters(labels), **state.drawing())(
        model, [concept.prompts[-1]] * SEEDS, seeds, concept=concept.text, judge=knows, cache=cache, progress=None
    )
    same = {row["letters"]: row["value"] for row in finding.table.filter(measure=finding.measure).rows(named=True)}
    layout = {row["letters"]: row["value"] for row in finding.table.filter(measure="layout").rows(named=True)}
    layers = [
        {
            "label": label,
            "moved": 1 - layout[f"p{label}"],
            "lost": 1 - same[f"p{label}"] if knows else None,
            "picture": data_uri(finding.images[f"p{label}"][0]),
        }
        for label in labels
    ]
    return {
        "concept": concept.text,
        "prompt": concept.prompts[-1],
        "picture": data_uri(finding.images["untouched"][0]),
        "layers": layers,
        "top": _top(layers),
        "summary": _most_moved(layers),
    }


def _top(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the layers that lose the concept most, and of those that lose it alike the ones that change most."""
    ranked = sorted(layers, key=lambda each: (-(each["lost"] or 0), -each["moved"]))
    return [each["label"] for each in ranked[:TOP]]


def _most_moved(layers: Sequence[Mapping[str, Any]]) -> str:
    """Say which layer changes the pictures most, and where the concept goes."""
    most = max(layers, key=lambda each: each["moved"])
    lost = [each["label"] for each in layers if each["lost"]]
    text = f"With the empty prompt in {most['label']} alone the layout changes most, by {percent(most['moved'])}."
    if layers[0]["lost"] is None:
        return f"{text} Nobody judged whether the concept is still there."
    where = f"The judge loses it in {', '.join(lost)}." if lost else "No layer alone loses it."
    return f"{text} {where}"


def locating_letters(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the interventions that give one layer the empty prompt in all steps."""
    return tuple(f"p{label}" for label in labels)


def locating_rows(model: Model, state: PageState) -> int:
    """Return about how many rows of the denoiser that takes."""
    return 2 * SEEDS * state.steps * (1 + len(labels_of(model)))


def concept_of(state: PageState) -> Concept:
    """Return the state's concept.

    Raises:
        EmptyConcept: There is none.
    """
    return named_concept(state.concept)


def method_of(state: PageState, model: Model) -> Any:
    """Return the method with the layers that are selected.

    Raises:
        BadArgument: The method is none of METHODS, or a layer is none of the model's.
    """
    if state.method not in METHODS:
        raise BadArgument(f"The studio does not erase by {state.method!r}: {offer(state.method, METHODS)}")
    labels = labels_of(model)
    unknown = [each for each in state.sites if each not in labels]
    if unknown:
        raise BadArgument(f"The model has no layer {unknown[0]!r}: {offer(unknown[0], labels)}")
    method = find(state.method, "erase").defaults(model)
    settings: dict[str, Any] = {"sites": ",".join(state.sites)} if state.sites else {}
    if state.method in TRAINED:
        settings |= {"steps": state.updates, "trajectories": 2, "sampling_steps": state.steps}
    return replace(method, **settings)


def few_cases(model: Model, concept: Concept, judges: Sequence[Judge]) -> list[Case]:
    """Return few prompts of each group: what was to go, what implies it, its neighbours, and other things."""
    taken: dict[str, int] = {}
    cases, prompts = list[Case](), set[str]()
    for case in cases_for(model, [concept], judges):
        if taken.get(case.group, 0) < EACH_GROUP.get(case.group, 1) and case.prompt not in prompts:
            taken[case.group] = taken.get(case.group, 0) + 1
            prompts.add(case.prompt)
            cases.append(case)
    return cases


def erase(model: Model, state: PageState, judge: Judge | None, folder: Path) -> tuple[Change, dict[str, Any]]:
    """Erase a concept in the layers that are selected, draw a few prompts before and after, and write the run's report.

    Args:
        model: Without changes.
        state: Whose concept, layers and method they are.
        judge: Of the pictures; None for nobody.
        folder: Where runs are written, each to a folder of its own.

    Returns:
        The edit, and what the page shows of it.

    Raises:
        TurpentineError: As the method does.
    """
    concept, method = concept_of(state), method_of(state, model)
    judges = [judge] if judge else []
    cases, protocol = few_cases(model, concept, judges), Protocol(seeds=(state.seed,), **state.drawing())
    about = [asdict(concept), facts_of(method), protocol.facts(), [case.facts() for case in cases], model.fingerprint]
    out = folder / f"{safe_name(f'{concept.text}-{state.method}')}-{digest(about)[:8]}"
    result = run_erasure(model, Erasure(concept, method, protocol, judges, cases), out)
    report = write_report(result)
    return result.edit, {
        "concept": concept.text,
        "edit": result.edit.id[:12],
        "title": f"{result.edit.provenance.title} of {concept.text}",
        "sites": list(state.sites),
        "weights": sum(map(result.edit.count, result.edit.names)) if isinstance(result.edit, Edit) else 0,
        "rows": _rows(result),
        "file": str(result.files["edit"]),
        "report": str(report),
    }


def erasing_rows(model: Model, state: PageState, judge: Judge | None) -> int:
    """Return about how many rows of the denoiser that takes."""
    pictures = 2 * len(few_cases(model, concept_of(state), [judge] if judge else []))
    trained = 32 * state.updates if state.method in TRAINED else 0
    return 2 * state.steps * pictures + trained


def _rows(result: ErasureResult) -> list[dict[str, Any]]:
    """Return for each prompt the pictures before and after, and whether each shows what was asked for."""
    before, after = result.before, result.after
    rows = []
    for old, new in zip(before.rows.rows(named=True), after.rows.rows(named=True), strict=True):
        place = old["prompt"], old["seed"]
        rows.append(
            {
                "group": old["group"],
                "label": old["label"],
                "prompt": old["prompt"],
                "before": data_uri(before.images[place]),
                "after": data_uri(after.images[place]),
                "hit_before": old["hit"],
                "hit_after": new["hit"],
                "moved": new.get("moved"),
            }
        )
    return rows
