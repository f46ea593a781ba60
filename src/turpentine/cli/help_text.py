"""Help texts out of docstrings: the summary, and what is said of each argument or field as `name: text.`"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from typing import Annotated, Any, TypeVar, get_type_hints

from cyclopts import Parameter

Described = TypeVar("Described", bound=Callable[..., Any])

_NAMED = re.compile(r"^[a-z_]+(, [a-z_]+)*: ")


def summary(doc: str | None) -> str:
    """The docstring up to where it speaks of its arguments, a paragraph a line."""
    paragraphs = _paragraphs(doc)
    first_named = next((i for i, text in enumerate(paragraphs) if _NAMED.match(text)), len(paragraphs))
    return "\n\n".join(paragraphs[:first_named])


def descriptions(doc: str | None, names: Collection[str]) -> dict[str, str]:
    """What a docstring says of each name: the text after `name: `, or after `name, other: ` for both."""
    found: dict[str, str] = {}
    for paragraph in _paragraphs(doc):
        if _NAMED.match(paragraph):
            found |= _split(paragraph.split(" Raises ")[0], names)
    return found


def _paragraphs(doc: str | None) -> list[str]:
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(doc or ""))
    return [" ".join(block.split()) for block in blocks if block.strip() and not block.startswith("    ")]


def _split(paragraph: str, names: Collection[str]) -> dict[str, str]:
    name = "|".join(map(re.escape, names))
    pieces = re.split(rf"(?:^|(?<=\s))((?:{name})(?:, (?:{name}))*): ", paragraph) if names else []
    pairs = zip(pieces[1::2], pieces[2::2], strict=True)
    return {one: _sentence(text) for group, text in pairs for one in group.split(", ")}


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] if text[:1].isascii() else text


def with_help(described: Described) -> Described:
    """The same function or dataclass, its arguments annotated with what its docstring says of them."""
    hints = get_type_hints(described, include_extras=True)
    texts = descriptions(described.__doc__, hints.keys())
    described.__annotations__ = {
        name: Annotated[hint, Parameter(help=texts[name])] if name in texts else hint for name, hint in hints.items()
    }
    return described
