"""The card of an edit or a guidance: a README.md that says what it is, how it is put on, and how it was made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from turpentine.core.markdown import escaped, front_matter, markdown_table
from turpentine.models.saving import HEED, card_facts

if TYPE_CHECKING:
    from turpentine.edits.operators import Scalable


def change_card(change: Scalable, place: str) -> str:
    """Return the card of a change, as Markdown.

    Args:
        change: The edit or guidance.
        place: The hub id or the folder that others read it from.

    Example:
        >>> change_card(UCE()(model, Concept("church")), "me/no-church").splitlines()[-1][:16]
        'What an edit lea'
    """
    provenance, kind = change.provenance, type(change).__name__
    base = provenance.model or "the model that it was made for"
    code = "\n".join(
        (
            "import turpentine as tp",
            "",
            f"model = tp.load({json.dumps(provenance.model)})",
            f"change = tp.edits.{kind}.from_pretrained({json.dumps(place)})",
            "with change.on(model):",
            f"    images = model.generate({json.dumps(_prompt(change))}, seeds=[0, 1, 2, 3])",
        )
    )
    settings = {name: value for name, value in provenance.settings.items() if value not in (None, "", ())}
    facts = {"method": provenance.method, "strength": f"{change.strength:g}", **settings, "seed": provenance.seed}
    rows = [(escaped(name), escaped(_brief(value))) for name, value in facts.items() if value is not None]
    rows += [(escaped(name), escaped(value)) for name, value in provenance.versions.items()]
    return (
        "\n\n".join(
            (
                front_matter(card_facts(provenance.model, "turpentine", [provenance.method])),
                f"# {escaped(change.title)}",
                f"A change to {escaped(base)}, and to no other model: its fingerprint is `{provenance.base[:12]}`.",
                f"```python\n{code}\n```",
                "## How it was made",
                markdown_table(("", ""), rows),
                HEED,
            )
        )
        + "\n"
    )


def _prompt(change: Scalable) -> str:
    return next((concept.prompts[-1] for concept in change.provenance.concepts), "a picture")


def _brief(value: object, limit: int = 120) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= limit else f"{text[:limit]} ..."
