"""Help texts from docstrings: the summary, and the entries of the section `Args:`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from cyclopts import Parameter, Token

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


def example_of(doc: str | None) -> str:
    """Return the command line in the section `Example:` of a command's docstring; "" where there is none.

    Example:
        >>> example_of("Do a thing.\\n\\nExample:\\n    turpentine erase church --method uce")
        'turpentine erase church --method uce'
    """
    _, *sections = _SECTION.split(inspect.cleandoc(doc or ""))
    text = dict(zip(sections[::2], sections[1::2], strict=True)).get("Example", "")
    return next((line.strip() for line in text.splitlines() if line.strip().startswith("turpentine ")), "")


def usage_of(name: str, command: Callable[..., Any], *, is_needed: bool = False) -> str | None:
    """Return how a command is written where cyclopts' own line has `ARGS`; None where that names the arguments.

    Args:
        name: What is typed for the command, such as "turpentine attack".
        command: The function behind it.
        is_needed: Whether it looks for its arguments itself, and cannot go without.

    Example:
        >>> def attack(file: str | None = None, /, *, seed: int = 0): ...
        >>> usage_of("turpentine attack", attack)
        'Usage: turpentine attack [OPTIONS] [FILE]'
    """
    parameters = inspect.signature(command).parameters.values()
    hints = get_type_hints(command, include_extras=True)
    named = [each for each in parameters if each.kind is not each.KEYWORD_ONLY]
    flags = [each for each in parameters if each.kind is each.KEYWORD_ONLY and each.default is each.empty]
    if not named or any(_is_needed(each, hints) for each in named):
        return None
    needed = [f"--{each.name} TEXT" for each in flags]
    given = [f"{each.name.upper()}{'...' if each.kind is each.VAR_POSITIONAL else ''}" for each in named]
    return " ".join(["Usage:", name, *needed, "[OPTIONS]", *(given if is_needed else [f"[{each}]" for each in given])])


def _is_needed(argument: inspect.Parameter, hints: Mapping[str, Any]) -> bool:
    """Return whether a command cannot go without an argument."""
    if argument.kind is not argument.VAR_POSITIONAL:
        return argument.default is argument.empty
    marks = getattr(hints[argument.name], "__metadata__", ())
    return any(isinstance(mark, Parameter) and mark.required for mark in marks)


def with_help(described: Described) -> Described:
    """Return the same function or dataclass, its arguments annotated with their entries in its docstring."""
    hints = get_type_hints(described, include_extras=True)
    texts = descriptions(described.__doc__, hints.keys())
    described.__annotations__ = {name: _described(hint, texts.get(name)) for name, hint in hints.items()}
    return described


def _described(hint: Any, text: str | None) -> Any:
    """Return a type with what is to be written for it, and its text; what it is annotated with already goes first."""
    if text is None:
        return hint
    plain, *marks = (hint.__origin__, *hint.__metadata__) if get_origin(hint) is Annotated else (hint,)
    own = [mark for mark in marks if isinstance(mark, Parameter)]
    others = [mark for mark in marks if not isinstance(mark, Parameter)]
    return Annotated[(plain, *others, Parameter.combine(written_as(plain), *own, Parameter(help=text)))]


def written_as(hint: Any) -> Parameter:
    """Return how help calls a value of a type, in the place of Python's names, and how it shows a default.

    Example:
        >>> written_as(tuple[str, ...]).metavar, written_as(int | None).metavar, written_as(bool).metavar
        ('TEXT', 'N', None)
    """
    kinds = [kind for kind in _WRITTEN if kind in _members(hint)]
    is_whole = _members(hint) - {type(None)} == {int} and get_origin(hint) is not tuple
    return Parameter(
        metavar=_WRITTEN[kinds[0]] if kinds else None,
        show_default=_default_in_words,
        converter=_whole_number if is_whole else None,
    )


def _whole_number(_: Any, tokens: Sequence[Token]) -> int:
    """Read a whole number; the command line's own reading rounds 1.5 to 2."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number.") from None


_WRITTEN: Mapping[Any, str] = {Path: "PATH", str: "TEXT", float: "NUMBER", int: "N"}


def _members(hint: Any) -> set[Any]:
    """Return a type's own plain types: those of a union, of a tuple, and of what is annotated."""
    if get_origin(hint) is Literal:
        return set()
    args = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    return set().union(*map(_members, args)) if args else {hint}


def _default_in_words(value: Any) -> Any:
    """Return how help shows a default: texts with commas between, and nothing for none."""
    if value is None or value is False or value in ("", ()):
        return None
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value
