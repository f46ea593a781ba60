"""Help texts out of docstrings: the summary, and the description of each argument or field in the section `Args:`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from typing import Annotated, Any, TypeVar, get_type_hints

from cyclopts import Parameter

Described = TypeVar("Described", bound=Callable[..., Any])

_NAMED = re.compile(r"^[a-z_]+(, [a-z_]+)*: ")
_SECTION = re.compile(r"^(Args|Returns|Yields|Raises|Example):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+): ", re.MULTILINE)


def summary(doc: str | None) -> str:
    """Return the docstring up to where it speaks of its arguments, a paragraph a line."""
    paragraphs = _paragraphs(doc)
    first_named = next((i for i, text in enumerate(paragraphs) if _NAMED.match(text)), len(paragraphs))
    return "\n\n".join(paragraphs[:first_named])


def descriptions(doc: str | None, names: Collection[str]) -> dict[str, str]:
    """Return the description of each name: its entry in `Args:`, or the text after `name: ` or `name, other: `."""
    texts = {name: text for name, text in _arguments(doc).items() if name in names}
    for paragraph in _paragraphs(doc):
        if _NAMED.match(paragraph):
            texts |= _split(paragraph.split(" Raises ")[0], names)
    return texts


def _arguments(doc: str | None) -> dict[str, str]:
    """The entries of the section `Args:` by name."""
    _, *sections = _SECTION.split(inspect.cleandoc(doc or ""))
    text = dict(zip(sections[::2], sections[1::2], strict=True)).get("Args", "")
    _, *entries = _ENTRY.split(text)
    return {name: _sentence(" ".join(each.split())) for name, each in zip(entries[::2], entries[1::2], strict=True)}


def _paragraphs(doc: str | None) -> list[str]:
    """What stands before the first section, without what is indented."""
    blocks = re.split(r"\n\s*\n", _SECTION.split(inspect.cleandoc(doc or ""))[0])
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
