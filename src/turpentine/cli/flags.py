"""Flags from a dataclass's fields: names, types, defaults and help are written once, in the class."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import partial, update_wrapper
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Parameter

from turpentine.cli.help_text import descriptions, with_help, written_as
from turpentine.core.settings import field_types, fits, range_of, speakable

_NONE: Mapping[str, Any] = MappingProxyType({})


def flags_of(method: Any, left_open: Mapping[str, Any] = _NONE) -> type[Any]:
    """Return a dataclass with a field for each setting that can be written on a command line.

    Args:
        method: The plug-in, whose values become the defaults.
        left_open: Settings that are none where their flag is not given, with the type of the flag.
    """
    hints = field_types(type(method))
    texts = descriptions(type(method).__doc__, hints.keys())
    flags = []
    for name, hint in hints.items():
        if name in left_open:
            flags.append((name, left_open[name], field(default=None)))
        elif speakable(hint) is not None:
            default = getattr(method, name)
            parameter = Parameter(
                help=_with_range(texts.get(name, ""), hint),
                validator=_validator(hint),
                allow_leading_hyphen=_has_leading_hyphen(default),
            )
            kind = speakable(hint)
            combined = Parameter.combine(written_as(kind), parameter)
            flags.append((name, Annotated[kind, combined], field(default=default)))
    # cyclopts looks into dataclasses of other modules than the standard library's only.
    return dataclasses.make_dataclass("Settings", flags, frozen=True, namespace={"__module__": __name__})


def _has_leading_hyphen(default: Any) -> bool:
    """Return whether a setting of texts may have a value such as -0.1."""
    return isinstance(default, tuple) and any(str(each).startswith("-") for each in default)


def _with_range(text: str, hint: Any) -> str:
    """Return a field's text with its range; choices are listed by the command line itself."""
    # Nobody writes an infinite number; that none is the default says that it may be left out.
    allowed = range_of(hint).removesuffix(", or none").removeprefix("a finite number").removeprefix(", ")
    if not allowed or get_origin(hint) is Literal:
        return text
    return f"{text} {allowed[:1].upper()}{allowed[1:]}."


def _validator(hint: Any) -> Callable[[Any, Any], None]:
    """Return a function that refuses a value that the field's constraints do not allow, naming the flag."""

    def validate(_: Any, value: Any) -> None:
        if not fits(value, hint):
            raise ValueError(f"Give {range_of(hint)}.")

    return validate


def with_flags(method: Any, flags: Any) -> Any:
    """Return the plug-in with the values of its flags; it keeps its own of those that are left open.

    Args:
        method: The plug-in.
        flags: An instance of the class that `flags_of` returns; commas part the values of a setting of several texts.
    """
    hints = field_types(type(method))
    given = {name: value for name, value in vars(flags).items() if value is not None or fits(None, hints[name])}
    return dataclasses.replace(method, **{name: _listed(value, hints[name]) for name, value in given.items()})


def _listed(value: Any, hint: Any) -> Any:
    several = tuple[str, ...]
    if isinstance(value, tuple) and (hint == several or several in get_args(hint)):
        return tuple(part.strip() for text in value for part in text.split(",") if part.strip() or text == "")
    return value


def option_in(tokens: Sequence[str], name: str, default: str) -> str:
    """Return the value of an option before the command line is parsed, where its flags or its checks depend on it.

    Example:
        >>> option_in(["church", "--method=uce"], "--method", "esd-x"), option_in([], "--method", "esd-x")
        ('uce', 'esd-x')
    """
    for token, following in pairwise([*tokens, default]):
        if token == name:
            return following
        if token.startswith(f"{name}="):
            return token.removeprefix(f"{name}=")
    return default


def with_line(command: Callable[..., int], tokens: Sequence[str]) -> Callable[..., int]:
    """Return a command with the line that it was called by, for its page.

    Args:
        command: With a parameter `line`, which is no flag.
        tokens: After the command's name.
    """
    fitted = partial(with_help(command), line=shlex.join(["turpentine", command.__name__, *tokens]))
    return update_wrapper(fitted, command)
