"""YAML as plain values, with the line that each was read from.

PyYAML marks the lines of its nodes, not of the values that it makes of them; ruamel.yaml would mark its own containers,
but not the single values in them, nor what --set put there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from turpentine.core.errors import BadArgument


class _Loader(yaml.SafeLoader):
    """Reads plain values as YAML 1.2 does (its core schema), and as people write them.

    By YAML 1.1, which PyYAML reads, 010 is 8, 1:30 is 90, `on` and `no` are truth values, 2024-01-01 is a date, and
    1e-5 is a text.
    """


_Loader.yaml_implicit_resolvers = {}
_PLAIN_VALUES = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "merge": (r"<<", "<"),
}
for _name, (_pattern, _starts) in _PLAIN_VALUES.items():
    _first = [start.replace("\0", "") for start in _starts]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), _first)


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _fraction(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _whole)
_Loader.add_constructor("tag:yaml.org,2002:float", _fraction)

Path: TypeAlias = tuple[str | int, ...]
"""Where a value is: keys of mappings and places in lists, from the top."""

# A short text can name its parts again and again, and so stand for gigabytes.
_MOST_VALUES = 20_000


@dataclass(frozen=True)
class Document:
    """A file's content.

    Attributes:
        value: Mappings, lists, texts and numbers.
        name: What to call the file in an error.
        places: Of each value, such as "line 3".
    """

    value: Any
    name: str
    places: dict[Path, str] = field(default_factory=dict)

    def place(self, path: Sequence[str | int]) -> str:
        """Return where a value stands, such as "objects.yaml, line 3"; if it is not there, where its parent stands."""
        above = tuple(path)
        while above and above not in self.places:
            above = above[:-1]
        if above not in self.places:
            return self.name
        place = self.places[above]
        return place if place.startswith("--") else f"{self.name}, {place}"


def read_yaml(text: str, name: str) -> Document:
    """Read one YAML document of plain values.

    Example:
        >>> read_yaml("title: Ten objects", "objects.yaml").place(["title"])
        'objects.yaml, line 1'

    Args:
        text: Of the file.
        name: What to call the file in an error.

    Raises:
        BadArgument: The text is no such document; the line is named.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
        _check_size(root, name)
        value = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadArgument(f"{name} is no YAML file{_at(error)}.") from error
    places = {path: f"line {node.start_mark.line + 1}" for path, node in _walk(root, (), name)}
    return Document(value, name, places)


def read_value(text: str) -> Any:
    """Read a value as YAML writes it, such as `0.5` or `[a, b]`.

    Raises:
        BadArgument: The text is none.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadArgument(f"{text!r} cannot be read as a value{_at(error)}.") from error


def _check_size(root: yaml.Node | None, name: str) -> None:
    for count, _ in enumerate(_all(root)):
        if count > _MOST_VALUES:
            raise BadArgument(f"{name} holds more than {_MOST_VALUES:,} values: it is no bench's file.")


def _all(node: yaml.Node | None) -> Iterator[yaml.Node]:
    """Yield all values, those that stand in several places several times."""
    stack = [node] if node else []
    while stack:
        each = stack.pop()
        yield each
        if isinstance(each, yaml.MappingNode):
            stack += [part for pair in each.value for part in pair]
        elif isinstance(each, yaml.SequenceNode):
            stack += each.value


def _walk(node: yaml.Node | None, path: Path, name: str) -> Iterator[tuple[Path, yaml.Node]]:
    if node is None:
        return
    yield path, node
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise BadArgument(f"{name}, line {key.start_mark.line + 1}: the key {key.value!r} stands there twice.")
            seen.add(key.value)
            # A key's line says more than that of what it begins.
            yield from _walk(value, (*path, key.value), name)
            yield (*path, key.value), key
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*path, index), name)


def _at(error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    return f": line {mark.line + 1}, {problem}" if mark and problem else ""


def put(document: Document, key: str, value: Any) -> None:
    """Set a value by its dotted key; mappings on the way are added.

    Args:
        document: Changed in place.
        key: Such as `drawing.steps` or `methods.0`.
        value: The new value.

    Raises:
        BadArgument: Something is in the way.
    """
    option = f"--set {key}"
    *way, last = _parts(key)
    inside: Any = document.value
    for part in way:
        inside = _step(inside, part, option)
    if not _has_room(inside, last):
        raise BadArgument(f"{option}: there is nothing that {last!r} could be set in.")
    inside[last] = value
    path = (*way, last)
    for below in [each for each in document.places if each[: len(path)] == path]:
        del document.places[below]
    document.places[path] = option


def with_overrides(document: Document, overrides: Sequence[str]) -> None:
    """Put values in the place of what a file says.

    Args:
        document: Changed in place.
        overrides: `key=value`; keys are dotted.

    Raises:
        BadArgument: One is written otherwise, something is in its way, or a key is there twice.
    """
    keys = set[str]()
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadArgument(f"--set {text}: write key=value, such as drawing.steps=30.")
        if key.strip() in keys:
            raise BadArgument(f"--set {key.strip()}: this key is given two values; leave one of them out.")
        keys.add(key.strip())
        put(document, key.strip(), read_value(value))


def _has_room(inside: Any, part: str | int) -> bool:
    """Return whether a value can be put there; a list keeps its length."""
    if isinstance(part, int):
        return isinstance(inside, list) and part < len(inside)
    return isinstance(inside, dict)


def _parts(key: str) -> list[str | int]:
    parts = key.split(".")
    if not all(parts):
        raise BadArgument(f"--set {key}: write key=value, such as drawing.steps=30.")
    return [int(part) if part.isdecimal() else part for part in parts]


def _step(inside: Any, part: str | int, option: str) -> Any:
    if isinstance(inside, dict) and isinstance(part, str):
        return inside.setdefault(part, {})
    if isinstance(inside, list) and isinstance(part, int) and part < len(inside):
        return inside[part]
    raise BadArgument(f"{option}: there is no {part!r} there.")
