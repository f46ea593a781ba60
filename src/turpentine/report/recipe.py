"""With what an erasure was made: settings, facts, and where the sprites come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain
from typing import Any

import polars as pl

from turpentine.bench import ErasureResult
from turpentine.core.formatting import duration
from turpentine.edits import Edit, GuidanceChange
from turpentine.report.code import is_selection


def facts(result: ErasureResult) -> dict[str, str]:
    """Name to value: model, edit, measurement, judge, versions, times."""
    run = result.run
    model, protocol = run.about["model"], run.identity["protocol"]
    return {
        "Model": (
            f"{model['name']}, {model['family']}, {model['parameters'] / 1e6:.1f} million weights, {model['dtype']}"
        ),
        "Base fingerprint": run.identity["model"]["weights"],
        "Edit": _edit(result.edit),
        "Edit id": result.edit.id,
        "Pictures": (
            f"{model['picture'].replace('x', '×')} px, {protocol['solver']}, {protocol['steps']} steps, guidance "
            f"{protocol['guidance_scale']:g}, seeds {seeds_text(protocol['seeds'])}"
        ),
        "Judge": ", ".join(f"{one['name']} ({one['revision'][:12]})" for one in protocol["judges"]),
        **dict(chain(*map(_judge_settings, protocol["judges"]))),
        "SHA-256 of the prompts": protocol["cases"],
        "Time": ", ".join(f"{_phase(phase, result)} {duration(seconds)}" for phase, seconds in run.seconds.items()),
        "Versions": ", ".join(f"{name} {version}" for name, version in run.about["versions"].items()),
    }


def _judge_settings(judge: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the answers of a judge are relative to."""
    for name in ("labels", "threshold"):
        if name in judge["settings"]:
            value = judge["settings"][name]
            yield (
                f"{name.capitalize()} of {judge['name']}",
                f"{value:g}" if isinstance(value, float) else ", ".join(value),
            )


def settings(result: ErasureResult) -> dict[str, Any]:
    """The method's settings by name; a selection of sites by how many they are."""
    return {name: setting_text(value) for name, value in result.run.identity["method"]["settings"].items()}


def sources(result: ErasureResult) -> list[dict[str, str]]:
    """Where the emoji world's sprites come from: style, package, version, licence; nothing for another model."""
    if "emoji" not in {one["name"] for one in result.run.identity["protocol"]["judges"]}:
        return []
    path = files("turpentine.emoji").joinpath("data/sprites.parquet")
    with path.open("rb") as file:
        rows = pl.read_parquet(file, columns=["style", "package", "version", "licence"])
    return rows.unique(maintain_order=True).to_dicts()


def setting_text(value: Any) -> Any:
    """A setting as a page shows it: a selection of sites by how many they are."""
    if not is_selection(value):
        return value
    during = " during {:g} to {:g}".format(*value["window"]) if value["window"] else ""
    return f"{len(value['sites'])} sites{during}"


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds as `0–7`, or one by one where they are not in a row."""
    first, last = seeds[0], seeds[-1]
    in_a_row = list(seeds) == list(range(first, last + 1)) and first < last
    return f"{first}–{last}" if in_a_row else ", ".join(map(str, seeds))


def _phase(phase: str, result: ErasureResult) -> str:
    """A phase by what was wanted: the first one makes the edit."""
    return result.goal if phase == "erase" else phase


def _edit(edit: Edit | GuidanceChange) -> str:
    """What a change is of."""
    if isinstance(edit, GuidanceChange):
        return "a guidance: no weight differs"
    weights = sum(map(edit.count, edit.names))
    return f"{weights / 1e6:.2f} million weights in {len(edit.names)} tensors"
