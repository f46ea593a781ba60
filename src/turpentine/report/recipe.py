"""How an erasure was made: settings, facts, and the source of the sprites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain
from typing import Any

import polars as pl

from turpentine.bench import ErasureResult
from turpentine.core.formatting import duration
from turpentine.edits import Edit, GuidanceChange
from turpentine.report.board import judge_line
from turpentine.report.code import is_selection
from turpentine.runs.references import reference_text


def facts(result: ErasureResult) -> dict[str, str]:
    """Return name and value of model, edit, measurement, judge, versions and times."""
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
        "Judge": ", ".join(map(judge_line, protocol["judges"])),
        **dict(chain(*map(_judge_settings, protocol["judges"]))),
        "SHA-256 of the prompts": protocol["cases"],
        **({"References": reference_text(protocol["references"])} if "references" in protocol else {}),
        "Time": ", ".join(f"{_phase(phase, result)} {duration(seconds)}" for phase, seconds in run.seconds.items()),
        "Versions": ", ".join(f"{name} {version}" for name, version in run.about["versions"].items()),
    }


def _judge_settings(judge: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the settings that the answers of a judge are relative to."""
    for name in ("labels", "threshold"):
        if name in judge["settings"]:
            value = judge["settings"][name]
            yield (
                f"{name.capitalize()} of {judge['name']}",
                f"{value:g}" if isinstance(value, float) else ", ".join(value),
            )


def settings(result: ErasureResult) -> dict[str, str]:
    """Return the method's settings by name, as texts; a selection of sites by how many they are."""
    return {in_words(name): setting_text(value) for name, value in result.run.identity["method"]["settings"].items()}


def in_words(name: str) -> str:
    """Return the name of a setting as a page has it.

    Example:
        >>> in_words("guidance_scale")
        'guidance scale'
    """
    return name.replace("_", " ")


def sources(result: ErasureResult) -> list[dict[str, str]]:
    """Return style, package, version and licence of the emoji world's sprites; nothing for another model."""
    if "emoji" not in {one["name"] for one in result.run.identity["protocol"]["judges"]}:
        return []
    path = files("turpentine.emoji").joinpath("data/sprites.parquet")
    with path.open("rb") as file:
        rows = pl.read_parquet(file, columns=["style", "package", "version", "licence"])
    return rows.unique(maintain_order=True).to_dicts()


def setting_text(value: Any) -> str:
    """Return a setting as a page shows it: a selection of sites by how many they are, several values with commas.

    Example:
        >>> setting_text(None), setting_text(True), setting_text((0.0, 1.0)), setting_text(()), setting_text("*")
        ('none', 'yes', '0, 1', 'none', 'all')
    """
    if is_selection(value):
        during = " during {:g} to {:g}".format(*value["window"]) if value["window"] else ""
        return f"{len(value['sites'])} sites{during}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {setting_text(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting_text, value)) or "none"
    return _IN_WORDS.get(value, str(value))


_IN_WORDS = {None: "none", "": "none", "*": "all"}
"""What settings hold that no reader takes for words; a star is every site."""


def seeds_text(seeds: Sequence[int]) -> str:
    """Return seeds as `0–7`, or one by one where they are not in a row.

    Example:
        >>> seeds_text([0, 1, 2]), seeds_text([1, 3])
        ('0–2', '1, 3')
    """
    first, last = seeds[0], seeds[-1]
    in_a_row = list(seeds) == list(range(first, last + 1)) and first < last
    return f"{first}–{last}" if in_a_row else ", ".join(map(str, seeds))


def _phase(phase: str, result: ErasureResult) -> str:
    """Return the name of a phase: that of the first one, which makes the edit, is the run's goal."""
    return result.goal if phase == "erase" else phase


def _edit(edit: Edit | GuidanceChange) -> str:
    """Return how much a change changes."""
    if isinstance(edit, GuidanceChange):
        return "a guidance: no weight differs"
    weights = sum(map(edit.count, edit.names))
    return f"{weights / 1e6:.2f} million weights in {len(edit.names)} tensors"
