"""Names tell their type: words that tell a reader nothing are no names of definitions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "turpentine"
BANNED = frozenset(
    (
        *("told", "tell", "said", "asked", "found", "kept", "made", "known", "lesson", "easel"),
        *("studio", "behind", "drawn", "wanted", "shown"),
    )
)


PAGE = ("cli/studio.py", "studio")
"""The interactive page alone is called a studio: so is the command that opens it."""


def definitions(tree: ast.AST) -> Iterator[tuple[str, int, bool]]:
    """Yield each name that a module defines, its line, and whether it is a function's or a class's."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno, True
            case ast.arg():
                yield node.arg, node.lineno, False
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno, False
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno, False


def banned(name: str, is_callable: bool) -> bool:
    """A variable must not be such a word; a function or a class must not have one in its name, but for tests."""
    if not is_callable:
        return name.strip("_").lower() in BANNED
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", name.replace("NotFound", ""))}
    return bool(words & BANNED) and not name.startswith("test_")


def test_no_definition_is_named_by_a_banned_word() -> None:
    offending = []
    for path in sorted(SOURCE.rglob("*.py")):
        where = path.relative_to(SOURCE).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        offending += [
            f"{where}:{line} {name}"
            for name, line, kind in definitions(tree)
            if banned(name, kind) and (where, name) != PAGE
        ]
    assert not offending, "\n".join(offending)


@pytest.mark.parametrize(
    "source", ["found = 1", "def f(kept): ...", "class Lesson: ...", "def _told_apart(): ...", "a.said = 1"]
)
def test_such_names_are_noticed(source: str) -> None:
    assert any(banned(name, kind) for name, _, kind in definitions(ast.parse(source)))


@pytest.mark.parametrize("source", ["class ModelNotFound: ...", "kept_rows = 1", "found", "unknown = 1"])
def test_other_names_are_left_alone(source: str) -> None:
    assert not any(banned(name, kind) for name, _, kind in definitions(ast.parse(source)))
