"""A method's fields as flags: names, types, defaults and help come from its dataclass, and nothing is written twice."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

from turpentine.cli.help_text import descriptions
from turpentine.core.named import speakable


def flags_of(method: Any) -> type[Any]:
    """A dataclass of those fields of a method that can be written on a command line, with its values as defaults."""
    hints = get_type_hints(type(method), include_extras=True)
    texts = descriptions(type(method).__doc__, hints.keys())
    flags = []
    for known in dataclasses.fields(method):
        hint = speakable(hints[known.name])
        if hint is not None:
            told = Parameter(help=texts.get(known.name))
            flags.append((known.name, Annotated[hint, told], field(default=getattr(method, known.name))))
    # cyclopts looks into dataclasses of other modules than the standard library's only.
    return dataclasses.make_dataclass("Settings", flags, frozen=True, namespace={"__module__": __name__})


def with_flags(method: Any, flags: Any) -> Any:
    """The method with the values of its flags."""
    return dataclasses.replace(method, **vars(flags))
