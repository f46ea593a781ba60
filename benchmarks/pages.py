"""Tables in pages of docs/: made by a command, put between marks; what is written around them stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from turpentine.stats.intervals import Rate

DOCS = Path(__file__).parent.parent / "docs"


def percent(found: Rate) -> str:
    """A rate and its 95 % interval, in percent."""
    return f"{100 * found.value:.0f} ({100 * found.low:.0f}–{100 * found.high:.0f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fill(page: Path, parts: Mapping[str, str]) -> None:
    """Put each part between `<!-- name -->` and `<!-- /name -->` in a page; marks that it has not go to its end."""
    text = page.read_text() if page.exists() else ""
    for name, part in parts.items():
        if f"<!-- {name} -->" not in text:
            text += f"\n<!-- {name} -->\n<!-- /{name} -->\n"
        head, rest = text.split(f"<!-- {name} -->", 1)
        text = f"{head}<!-- {name} -->\n{part}\n<!-- /{name} -->{rest.split(f'<!-- /{name} -->', 1)[1]}"
    page.write_text(text)
