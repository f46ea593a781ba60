"""What `attack` and `audit` take where nothing is said: the concept that was erased, the attacks that cost little."""

from __future__ import annotations

from typing import TYPE_CHECKING

from turpentine.core.errors import BadArgument
from turpentine.core.plugins import plugins

if TYPE_CHECKING:
    from turpentine.attack import Attack
    from turpentine.edits import Change


def erased_concept(change: Change | None, purpose: str) -> str:
    """Return the one concept that a change erased, in words.

    Args:
        change: None where a model is attacked as it is.
        purpose: For the message: what the concept is to do.

    Raises:
        BadArgument: It names none, or several.
    """
    texts = [concept.text for concept in change.provenance.concepts] if change is not None else []
    if len(texts) != 1:
        raise BadArgument(f"The edit does not name one concept: say what is to {purpose}, such as --concept church.")
    return texts[0]


def affordable_attacks() -> list[Attack]:
    """Return the attacks that cost little, at their defaults."""
    return [each.defaults() for each in plugins("attack").values() if getattr(each.load(), "free", False)]
