"""Markdown: escaped text from outside, and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from turpentine.core.safe_text import one_line

# An ampersand is a mark only where it begins an entity.
_MARKS = re.compile(r"([\\`*_\[\]<>|#~$]|&(?=#?\w+;))")


def escaped(text: str) -> str:
    r"""Return text from outside on one line, with every mark of Markdown escaped.

    Example:
        >>> print(escaped("a *b*"))
        a \*b\*
    """
    return _MARKS.sub(r"\\\1", one_line(text))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def front_matter(facts: Mapping[str, Any]) -> str:
    """Return what a hub reads at the head of a card: YAML, whose texts JSON writes safely.

    Example:
        >>> print(front_matter({"tags": ["a"]}))
        ---
        tags: ["a"]
        ---
    """
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in facts.items()), "---"])
