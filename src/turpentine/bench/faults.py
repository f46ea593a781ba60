"""What is wrong in a file of keys and values, as sentences with file and line: of benches, and of studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from turpentine.bench.yaml_lines import Document
from turpentine.core.suggest import offer
from turpentine.tasks.case_rules import KINDS, FileSection

Kinds = Mapping[str, Mapping[str, type[FileSection]]]
"""By key of a file: what its value can be, each kind by the key that only it has."""

_KINDS_OF_CASES: Kinds = {"cases": KINDS}


def sentences(
    error: ValidationError, document: Document, schema: type[FileSection], kinds: Kinds = _KINDS_OF_CASES
) -> list[str]:
    """Return all that is wrong, each with file and line.

    Args:
        error: Of the schema.
        document: The file.
        schema: Of the whole file.
        kinds: Of sections that can be one of several.
    """
    # A key that is not known may be the one that is missing.
    faults = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    # What is wrong inside a list leaves the list too short.
    inner = [each["loc"] for each in faults]
    faults = [each for each in faults if not any(loc[: len(each["loc"])] == each["loc"] != loc for loc in inner)]
    return list(
        dict.fromkeys(f"{document.place(_path(each['loc'], kinds))}: {_fault(each, schema, kinds)}" for each in faults)
    )


def _path(loc: Sequence[str | int], kinds: Kinds) -> tuple[str | int, ...]:
    """Return the keys that lead to a fault, without the kind of a section, which pydantic puts among them."""
    tags = kinds.get(str(loc[0]), {}) if loc else {}
    place = next((index for index, part in enumerate(loc[:3]) if index and part in tags), None)
    return tuple(loc) if place is None else (*loc[:place], *loc[place + 1 :])


def _fault(error: Any, schema: type[FileSection], kinds: Kinds) -> str:
    match error["type"]:
        case "value_error":
            return str(error["ctx"]["error"])
        case "extra_forbidden":
            return (
                f"there is no key {error['loc'][-1]!r}: {offer(error['loc'][-1], _keys(error['loc'], schema, kinds))}"
            )
        case "missing":
            return f"{error['loc'][-1]!r} is missing."
        case "invalid_key":
            return f"the key {error['input']!r} is no text: put it in quotation marks."
        case "union_tag_not_found":
            return f"say what it is by one of the keys {', '.join(kinds[str(error['loc'][0])])}."
        case _:
            reason = error["msg"][:1].lower() + error["msg"][1:]
            where = ".".join(map(str, _path(error["loc"], kinds)))
            return f"{where} is {_short(error['input'])}: {reason}."


def _keys(loc: Sequence[str | int], schema: type[FileSection], kinds: Kinds) -> Mapping[str, Any]:
    """Return the keys that may stand in the place of an unknown one."""
    tags = kinds.get(str(loc[0]), {})
    for part in loc[1:-1]:
        if part in tags:
            return tags[str(part)].model_fields
    section: Any = schema.model_fields[str(loc[0])].annotation if len(loc) > 1 else schema
    options = (each for each in (section, *get_args(section)) if isinstance(each, type))  # one of a list, or none
    return next((each for each in options if issubclass(each, FileSection)), schema).model_fields


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
