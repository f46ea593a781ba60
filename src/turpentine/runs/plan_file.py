"""A plan as a file, so that another process, on another machine, can join the work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from turpentine.concepts import Concept
from turpentine.core.atomic_files import write_whole
from turpentine.runs.artefact_spec import ArtefactSpec
from turpentine.runs.ledger import LedgerError
from turpentine.runs.method_settings import facts_of
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.references import ReferenceSet
from turpentine.runs.specs import Condition, EditSpec, JudgeSpec, ModelSpec
from turpentine.tasks.cases import Case

FORMAT = 1


def write_plan(path: Path, plan: Plan, threads: int) -> None:
    """Write a plan, whole or not at all.

    Args:
        path: Of the file.
        plan: The plan.
        threads: Of each worker.

    Raises:
        OSError: As the file system does.
    """
    with write_whole(path) as aside:
        content = {"format": FORMAT, "threads": threads, **to_json(plan)}
        aside.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_plan(path: Path) -> tuple[Plan, int]:
    """Read a plan from its file.

    Returns:
        The plan, and how many threads its workers use.

    Raises:
        LedgerError: There is none, it is damaged, or of a newer Turpentine.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        check_format(path, content["format"])
        return from_json(content), int(content["threads"])
    except FileNotFoundError:
        raise LedgerError(
            f"No bench was begun in {path.parent}: begin it with turpentine bench FILE --out {path.parent}, and let "
            "workers join then."
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LedgerError(
            f"{path} does not hold the plan of a bench: run the bench anew in another folder, or remove this file if "
            "the bench that wrote it is to go on."
        ) from error


def check_format(path: Path, written: int) -> None:
    """Refuse a plan that a newer Turpentine wrote.

    Raises:
        LedgerError: The format is newer.
    """
    if written > FORMAT:
        raise LedgerError(
            f"{path} has format {written} and this Turpentine reads up to {FORMAT}: update it, or choose another "
            "folder."
        )


def to_json(plan: Plan) -> dict[str, Any]:
    """Return the plan in types of JSON. Sources and cases, which many lines share, are written once."""
    sources = {
        source: index for index, source in enumerate(dict.fromkeys(condition.source for condition in plan.conditions))
    }
    lists = {
        cases: index for index, cases in enumerate(dict.fromkeys(condition.cases for condition in plan.conditions))
    }
    return {
        "sources": [_fields(source) for source in sources],
        "conditions": [
            {**_condition_json(condition), "source": sources[condition.source], "cases": lists[condition.cases]}
            for condition in plan.conditions
        ],
        "cases": [[case.facts() for case in cases] for cases in lists],
    }


def from_json(content: Mapping[str, Any]) -> Plan:
    """Return the plan from what `to_json` returned; the methods are made where the model is at hand."""
    sources = [ModelSpec(**each) for each in content["sources"]]
    lists = [tuple(Case(**case) for case in cases) for cases in content["cases"]]
    return Plan(_condition(each, sources[each["source"]], lists[each["cases"]]) for each in content["conditions"])


def _condition_json(condition: Condition) -> dict[str, Any]:
    edit_spec = condition.edit_spec
    return {
        "protocol": asdict(condition.protocol),
        "judges": [{**_fields(judge), "needs": sorted(judge.needs)} for judge in condition.judges],
        "edit": edit_spec and _edit_json(edit_spec, condition.concepts),
        "concepts": [asdict(concept) for concept in condition.concepts],
        "artefact": condition.artefact and asdict(condition.artefact),
        **({"references": asdict(condition.references)} if condition.references else {}),
    }


def _edit_json(edit_spec: EditSpec, concepts: tuple[Concept, ...]) -> dict[str, Any]:
    """Return an edit of a line about some concepts, with those below it."""
    content: dict[str, Any] = {"method": facts_of(edit_spec.method), "name": edit_spec.name}
    if edit_spec.concepts != concepts:
        content["concepts"] = [asdict(concept) for concept in edit_spec.concepts]
    if edit_spec.below:
        content["below"] = _edit_json(edit_spec.below, concepts)
    return content


def _edit(content: Mapping[str, Any], source: ModelSpec, concepts: tuple[Concept, ...]) -> EditSpec:
    """Return the edit of what `_edit_json` returned."""
    own = tuple(map(_concept, content["concepts"])) if "concepts" in content else concepts
    below = _edit(content["below"], source, concepts) if "below" in content else None
    return EditSpec(source, content["method"], own, content["name"], below)


def _condition(content: Mapping[str, Any], source: ModelSpec, cases: tuple[Case, ...]) -> Condition:
    concepts = tuple(_concept(one) for one in content["concepts"])
    edit_spec = content["edit"] and _edit(content["edit"], source, concepts)
    judges = tuple(_judge(one) for one in content["judges"])
    protocol = Protocol(**{**content["protocol"], "seeds": tuple(content["protocol"]["seeds"])})
    artefact = content["artefact"] and ArtefactSpec(**content["artefact"])
    references = ReferenceSet(**content["references"]) if "references" in content else None
    return Condition(source, cases, protocol, judges, edit_spec, concepts, artefact, references)


def _judge(content: Mapping[str, Any]) -> JudgeSpec:
    return JudgeSpec(**{**content, "needs": frozenset(content["needs"]), "columns": tuple(content["columns"])})


def _concept(content: Mapping[str, Any]) -> Concept:
    templates = content["templates"]
    return Concept(**{**content, "templates": templates and tuple(templates), "keep": tuple(content["keep"])})


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
