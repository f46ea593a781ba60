"""Help texts from docstrings: the summary, and the entries of the section `Args:`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from typing import Annotated, Any, TypeVar, get_type_hints

from cyclopts import Parameter

Described = TypeVar("Described", bound=Callable[..., Any])

_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+): ", re.MULTILINE)


def summary(doc: str | None) -> str:
    """Return what stands before the first section of a docstring, a paragraph a line, without indented examples.

    Example:
        >>> summary('''Do a thing.
        ...
        ...     Args:
        ...         steps: How many.
        ...     ''')
        'Do a thing.'
    """
    blocks = re.split(r"\n\s*\n", _SECTION.split(inspect.cleandoc(doc or ""))[0])
    return "\n\n".join(" ".join(block.split()) for block in blocks if block.strip() and not block.startswith("    "))


def descriptions(doc: str | None, names: Collection[str]) -> dict[str, str]:
    """Return the entries of the section `Args:` of a docstring by name.

    Args:
        doc: The docstring.
        names: The arguments or fields to describe; those without an entry are left out.
    """
    _, *sections = _SECTION.split(inspect.cleandoc(doc or ""))
    text = dict(zip(sections[::2], sections[1::2], strict=True)).get("Args", "")
    _, *entries = _ENTRY.split(text)
    pairs = zip(entries[::2], entries[1::2], strict=True)
    return {name: " ".join(each.split()) for name, each in pairs if name in names}


def with_help(described: Described) -> Described:
    """Return the same function or dataclass, its arguments annotated with their entries in its docstring."""
    hints = get_type_hints(described, include_extras=True)
    texts = descriptions(described.__doc__, hints.keys())
    described.__annotations__ = {
        name: Annotated[hint, Parameter(help=texts[name])] if name in texts else hint for name, hint in hints.items()
    }
    return described
