"""The facts that a bench's numbers rest on: protocols, judges, settings, and how to cite a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import turpentine
from turpentine.bench.table import Table
from turpentine.report.recipe import in_words, seeds_text, setting_text
from turpentine.runs.references import reference_text

SHORT = 8
"""Characters of a digest that name it on a page."""


@dataclass(frozen=True)
class PromptSet:
    """The prompts of some numbers.

    Attributes:
        digest: Of the protocol, of which they are a part.
        cases: SHA-256 of the cases.
        concepts: Of the lines with these prompts.
    """

    digest: str
    cases: str
    concepts: tuple[str, ...]

    @property
    def short(self) -> str:
        """Its name on the page."""
        return self.digest[:SHORT]


def protocol(table: Table) -> dict[str, str]:
    """Return what all numbers of the table share, as name and text: how pictures are drawn, and who judges them."""
    facts = dict(next(iter(table.protocols.values())))
    judges, seeds = facts.pop("judges"), facts.pop("seeds")
    facts.pop("cases")
    if "references" in facts:
        facts["references"] = reference_text(facts["references"])
    drawing = {in_words(name): setting_text(value) for name, value in facts.items() if value not in (None, "")}
    return {
        **drawing,
        "seeds": seeds_text(seeds),
        **{f"judge {judge['name']}": _judge(judge) for judge in judges},
    }


def prompt_sets(table: Table) -> list[PromptSet]:
    """Return the protocols of the table, which differ in their prompts only."""
    concepts: dict[str, dict[str, None]] = {}
    for digest, concept in table.rows.select("protocol", "concept").unique(maintain_order=True).iter_rows():
        concepts.setdefault(digest, {})[concept] = None
    return [
        PromptSet(digest, facts["cases"], tuple(concepts.get(digest, ()))) for digest, facts in table.protocols.items()
    ]


def citation(table: Table, sha256: str) -> str:
    """Return how to cite a number of the table.

    Args:
        table: The numbers.
        sha256: Of `results.parquet`.
    """
    name = f"bench “{table.title}”" if table.title else "bench"
    digests = ", ".join(each.short for each in prompt_sets(table))
    word = "protocol" if len(table.protocols) == 1 else "protocols"
    return f"Turpentine {turpentine.__version__}, {name}, {word} {digests}, results.parquet SHA-256 {sha256}."


def settings(methods: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, dict[str, str]]]:
    """Return each method with its settings as texts, once.

    Args:
        methods: Names and facts, as `method_settings.facts_of` returns them.
    """
    sections = [
        (name, {in_words(key): setting_text(value) for key, value in facts["settings"].items()})
        for name, facts in methods
    ]
    return [each for index, each in enumerate(sections) if each not in sections[:index]]


def _judge(judge: Mapping[str, Any]) -> str:
    return f"revision {judge['revision']}"
