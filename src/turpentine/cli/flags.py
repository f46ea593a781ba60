"""A method's fields as flags: names, types, defaults and help come from its dataclass, and nothing is written twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import field
from typing import Annotated, Any

from cyclopts import Parameter

from turpentine.cli.help_text import descriptions
from turpentine.core.settings import field_types, fits, range_of, speakable


def flags_of(method: Any) -> type[Any]:
    """A dataclass of those fields of a method that can be written on a command line, with its values as defaults."""
    hints = field_types(type(method))
    texts = descriptions(type(method).__doc__, hints.keys())
    flags = []
    for name, hint in hints.items():
        if speakable(hint) is not None:
            parameter = Parameter(help=texts.get(name), validator=_validator(hint))
            flags.append((name, Annotated[speakable(hint), parameter], field(default=getattr(method, name))))
    # cyclopts looks into dataclasses of other modules than the standard library's only.
    return dataclasses.make_dataclass("Settings", flags, frozen=True, namespace={"__module__": __name__})


def _validator(hint: Any) -> Callable[[Any, Any], None]:
    """What refuses a value that the field's constraints do not allow, naming the flag."""

    def validate(_: Any, value: Any) -> None:
        if not fits(value, hint):
            raise ValueError(f"Give {range_of(hint)}.")

    return validate


def with_flags(method: Any, flags: Any) -> Any:
    """The method with the values of its flags."""
    return dataclasses.replace(method, **vars(flags))
