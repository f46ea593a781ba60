"""Runs the documentation's code in this process, or checks it where it is not run."""

from __future__ import annotations

import ast
import builtins
import glob
import importlib
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from doc_blocks import ROOT, Block

from turpentine.bench import file as bench_file
from turpentine.cli.app import build, run
from turpentine.core import plugins
from turpentine.study.spec import read_plan

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def run_python(block: Block, code: str, names: dict[str, Any]) -> None:
    """Run it in the page's namespace; what stands last is shown, as a notebook does."""
    tree = ast.parse(code, block.place)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, block.place, "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), block.place, "eval"), names)
        show = getattr(value, "_repr_html_", None)
        assert show is None or show()


def commands_of(code: str) -> Iterator[list[str]]:
    """The command lines of a block of sh: comments taken off, lines joined that end in a backslash, * looked up."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield [each for word in words for each in (sorted(glob.glob(word)) or [word])]


def run_sh(block: Block, code: str) -> None:
    """Run our commands, and ssh-keygen; of others, check that what they name is there."""
    for program, *words in commands_of(code):
        if program == "turpentine" and (words[0] not in ("sign", "verify") or _signs()):
            assert run(words) == 0, f"{block.place}: turpentine {shlex.join(words)}"
        elif program == "ssh-keygen":
            subprocess.run([program, *words, "-N", "", "-q"], check=True)
        else:
            check_command(block, [program, *words])


def _signs() -> bool:
    """Whether the optional package for signatures is whole."""
    try:
        importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    except ImportError:
        return False
    return True


def check_sh(block: Block, code: str) -> None:
    """Check all commands without running any."""
    for words in commands_of(code):
        check_command(block, words)


def check_command(block: Block, words: list[str]) -> None:
    """Check that a command's arguments are ones that it takes."""
    line = f"{block.place}: {shlex.join(words)}"
    program, *rest = words
    if program == "turpentine":
        build(rest).parse_args(rest, exit_on_error=False, print_error=False)
    elif program == "make":
        assert {word for word in rest if "=" not in word} <= TARGETS, line
    elif program == "pip":
        assert rest[0] == "install", line
        extras = re.findall(r"turpentine\[([\w,]+)\]", " ".join(rest))
        assert {each for some in extras for each in some.split(",")} <= set(PROJECT["optional-dependencies"]), line
        assert all((ROOT / name).exists() for flag, name in pairwise(rest) if flag == "-c"), line
    elif program == "python":
        _check_script(line, rest)
    else:
        raise AssertionError(f"{line}: no test knows this program")


def _check_script(line: str, words: list[str]) -> None:
    """A script of the repository, each flag of which stands in it; or a module's own command line."""
    if words[0] == "-m":
        app = importlib.import_module(f"{words[1]}.__main__").app
        app.parse_args(words[2:], exit_on_error=False, print_error=False)
        return
    text = (ROOT / words[0]).read_text(encoding="utf-8")
    assert all(f'"{word}"' in text for word in words[1:] if word.startswith("--")), line


def check_python(block: Block, code: str, names: set[str]) -> set[str]:
    """Check that each name is one, that imports and what hangs on them exist, and that calls fit.

    Args:
        block: The block.
        code: Its text.
        names: Those that the page's blocks before it have bound.

    Returns:
        The names that it binds.
    """
    tree = ast.parse(code, block.place)
    bound = _bound(tree)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    unknown = used - bound - names - set(dir(builtins))
    assert not unknown, f"{block.place}: nothing is called {', '.join(sorted(unknown))}"
    things = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            _resolve(node, things)
        if isinstance(node, ast.Call) and (thing := _resolve(node.func, things)) is not None:
            _check_call(thing, node)
    return bound


def _check_call(thing: Any, node: ast.Call) -> None:
    try:
        signature = inspect.signature(thing)
    except ValueError:  # of a function in C
        return
    signature.bind_partial(*node.args, **{each.arg: None for each in node.keywords if each.arg})


def _bound(tree: ast.Module) -> set[str]:
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    made = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return stored | made | arguments | set(_imported(tree))


def _imported(tree: ast.Module) -> dict[str, Any]:
    things = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = importlib.import_module(alias.name)
                things[alias.asname or alias.name.split(".")[0]] = (
                    module if alias.asname else sys.modules[alias.name.split(".")[0]]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                things[alias.asname or alias.name] = getattr(importlib.import_module(str(node.module)), alias.name)
    return things


def _resolve(node: ast.expr, things: dict[str, Any]) -> Any:
    """What a dotted name is, as far as its first name was imported; None for any other expression."""
    if isinstance(node, ast.Name):
        return things.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _resolve(node.value, things)
        return None if owner is None else getattr(owner, node.attr)
    return None


def write_data(block: Block, code: str) -> None:
    """YAML is a bench's or a study's file, which begins with its name; TOML names groups of plug-ins that are read."""
    if block.language == "yaml":
        name = code.splitlines()[0].removeprefix("# ")
        assert re.fullmatch(r"\w+\.yaml", name), f"{block.place}: begin with the file's name, as in # mine.yaml"
        Path(name).write_text(code, encoding="utf-8")
        read_plan(name) if "\nquestions:" in code else bench_file.load(name)
    else:
        groups = tomllib.loads(code)["project"]["entry-points"]
        assert set(groups) <= set(plugins.GROUPS.values()), f"{block.place}: {sorted(groups)}"
