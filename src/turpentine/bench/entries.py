"""What stands in the files of benches of every kind: a name with settings, and concepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, TurpentineError, UnknownName
from turpentine.core.settings import reason
from turpentine.core.suggest import offer
from turpentine.emoji.lexicon import world_concept


def one_key(value: Any, what: str, settings: str = "steps: 10") -> tuple[str, dict[str, Any]]:
    """Return the name and the settings in `name` or `name: {setting: value}`.

    Example:
        >>> one_key({"esd-x": {"steps": 10}}, "method")
        ('esd-x', {'steps': 10})

    Args:
        value: From YAML.
        what: What is named, for the error.
        settings: Examples of settings, for the error.

    Raises:
        BadArgument: The value is neither, or a setting has no word for a name.
    """
    if isinstance(value, str):
        return value, {}
    if isinstance(value, dict) and len(value) == 1:
        name, values = next(iter(value.items()))
        if isinstance(name, str) and (values is None or isinstance(values, dict)):
            for key in values or {}:
                if not isinstance(key, str):  # YAML reads 3 and true as what they are
                    raise BadArgument(f"The {what} {name} has no setting {key!r}: settings have words for names.")
            return name, values or {}
    raise BadArgument(f"A {what} is written as its name, or as its name with settings, such as name: {{{settings}}}.")


def concepts_entry(value: Any) -> tuple[Concept, ...]:
    """Return what is erased at once: a text, a concept's fields, or a list of those.

    Raises:
        BadArgument: It is neither, or a field is not as it must be.
        UnknownName: A concept has no such field.
    """
    return tuple(map(single_concept, value)) if isinstance(value, list) and value else (single_concept(value),)


def single_concept(value: Any) -> Concept:
    """Return a concept as a file writes it: a text, or its fields.

    Raises:
        BadArgument: It is neither, or a field is not as it must be.
        UnknownName: A concept has no such field.
    """
    if isinstance(value, str):
        return world_concept(value)
    if not isinstance(value, dict):
        raise BadArgument(f"{value!r} is no concept: write a text in quotation marks, or text, kind, templates, keep.")
    names = [each.name for each in fields(Concept)]
    for key in value:
        if key not in names:
            raise UnknownName(f"A concept has no {key!r}: {offer(key, names)}")
    try:
        return TypeAdapter(Concept).validate_python(value)
    except ValidationError as error:
        what = error.errors()[0]["loc"][0]
        raise BadArgument(f"The concept's {what} is not as it must be: {reason(error)}.") from error


def validated(read: Callable[[Any], Any]) -> BeforeValidator:
    """Return a validator whose error keeps its place in the file."""

    return BeforeValidator(partial(attempted, read))


def attempted(read: Callable[[Any], Any], value: Any) -> Any:
    """Return what is read of a value; its error is one that keeps its place in the file.

    Raises:
        ValueError: The value cannot be read.
    """
    try:
        return read(value)
    except TurpentineError as error:
        raise ValueError(str(error)) from error
