"""Settings, where things come from, and how to do it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from importlib.resources import files
from typing import Any

import polars as pl

from turpentine.bench import ErasureResult
from turpentine.concepts import Concept
from turpentine.files import one_line
from turpentine.registry import methods
from turpentine.report.numbers import duration


def facts(result: ErasureResult) -> dict[str, str]:
    """Name to value: model, edit, measurement, judge, versions, times."""
    run = result.run
    model, protocol = run.about["model"], run.identity["protocol"]
    weights = sum(delta.numel() for delta in result.edit.deltas.values())
    return {
        "Model": (
            f"{model['name']}, {model['family']}, {model['parameters'] / 1e6:.1f} million weights, {model['dtype']}"
        ),
        "Base fingerprint": run.identity["model"]["base"],
        "Edit": f"{weights / 1e6:.2f} million weights in {len(result.edit.deltas)} tensors",
        "Edit id": result.edit.id,
        "Pictures": (
            f"{model['picture'].replace('x', '×')} px, {protocol['solver']}, {protocol['steps']} steps, guidance "
            f"{protocol['guidance_scale']:g}, seeds {_seeds(protocol['seeds'])}"
        ),
        "Judge": ", ".join(f"{one['name']} ({one['revision'][:12]})" for one in protocol["judges"]),
        "SHA-256 of the prompts": protocol["cases"],
        "Time": ", ".join(f"{phase} {duration(seconds)}" for phase, seconds in run.seconds.items()),
        "Versions": ", ".join(f"{name} {version}" for name, version in run.about["versions"].items()),
    }


def settings(result: ErasureResult) -> dict[str, Any]:
    """The method's settings by name."""
    return dict(result.run.identity["method"]["settings"])


def code(result: ErasureResult) -> str:
    """Python that makes the result again."""
    identity = result.run.identity
    protocol = identity["protocol"]
    method = f"tp.methods.{one_line(identity['method']['name'])}({_arguments(_changed(identity['method']))})"
    concepts = [_concept(concept) for concept in result.concepts]
    what = concepts[0] if len(concepts) == 1 else f"[{', '.join(concepts)}]"
    drawn = {key: protocol[key] for key in ("steps", "guidance_scale", "solver", "seeds", "size")}
    return "\n".join(
        [
            "import turpentine as tp",
            "from turpentine.bench import Protocol, run_erasure",
            "from turpentine.report import write_report",
            "",
            f"model = tp.load({result.run.about['model']['name']!r})",
            f"method = {method}",
            f"protocol = Protocol({_arguments(drawn)})",
            f'result = run_erasure(model, method, {what}, "run", protocol=protocol)',
            "write_report(result)",
        ]
    )


def use(result: ErasureResult) -> str:
    """Python that puts the edit on."""
    prompt = result.concepts[0].prompts[-1]
    return "\n".join(
        [
            "import turpentine as tp",
            "",
            f"model = tp.load({result.run.about['model']['name']!r})",
            'edit = tp.Edit.load("edit.safetensors")',
            "with edit.on(model):",
            f"    images = model.generate({prompt!r}, seeds=[0, 1, 2, 3])",
        ]
    )


def sources(result: ErasureResult) -> list[dict[str, str]]:
    """Where the emoji world's sprites come from: style, package, version, licence; nothing for another model."""
    if "emoji" not in {one["name"] for one in result.run.identity["protocol"]["judges"]}:
        return []
    path = files("turpentine.emoji").joinpath("data/sprites.parquet")
    with path.open("rb") as file:
        rows = pl.read_parquet(file, columns=["style", "package", "version", "licence"])
    return rows.unique(maintain_order=True).to_dicts()


def _changed(method: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that differ from the method's defaults; all of them if the method is not known here."""
    known = methods().get(method["name"])
    defaults = {} if known is None else {f.name: f.default for f in fields(known) if f.default is not MISSING}
    return {
        name: value
        for name, value in method["settings"].items()
        if name not in defaults or value != _as_json(defaults[name])
    }


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{one_line(name)}={_tuples(value)!r}" for name, value in values.items())


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _concept(concept: Concept) -> str:
    """The call that makes the concept, without what is its default."""
    given = {field.name: getattr(concept, field.name) for field in fields(concept) if field.name != "text"}
    plain = {field.name: field.default for field in fields(concept)}
    more = {name: value for name, value in given.items() if value != plain[name]}
    return f"tp.Concept({', '.join(filter(None, [repr(concept.text), _arguments(more)]))})"


def _seeds(seeds: list[int]) -> str:
    first, last = seeds[0], seeds[-1]
    return f"{first}–{last}" if seeds == list(range(first, last + 1)) and first < last else ", ".join(map(str, seeds))
