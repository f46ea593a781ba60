"""Types and shapes are checked at each call of the package: an int is welcome where a float is, as Python says.

jaxtyping has an import hook of its own. It wraps every function, at many times what most of them cost, and while it
imports ours it looks for the compiled files of torch and diffusers where there are none. Here
- a function whose signature names a shape gets jaxtyping's wrapper: it holds the shapes of all arguments together;
- one inside of another that names no shape is left alone: it is made, and would be compiled for checking, at each call
  of the other, and mypy sees its types;
- every other one is checked by beartype alone, which checks the same types.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import cache_from_source
from types import CodeType, FunctionType, ModuleType
from typing import Any, get_args, get_type_hints
from unittest.mock import patch

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, jaxtyped

_CHECKED = "_checked_"
_types = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeCheckError))
_by_jaxtyping = jaxtyped(typechecker=_types)
_one_call = jaxtyped("context")


def install(package: str) -> None:
    """Check each function and dataclass of a package that is imported from here on."""
    sys.meta_path.insert(0, _Finder(package))


def checked(thing: Any) -> Any:
    """Check what a function, or a dataclass at its making, is called with, and what it returns."""
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing) and "__init__" in vars(thing):
            thing.__init__ = checked(thing.__init__)
        return thing
    assert inspect.isfunction(thing), "it stands next to the function, below all decorators"
    if "<locals>" in thing.__qualname__ and not _speaks_of_a_shape(thing):
        return thing
    try:
        hints = get_type_hints(thing, include_extras=True)
    except (NameError, TypeError):
        return functools.wraps(thing)(checked(_without_hints_for_mypy_alone(thing)))
    if not any(_holds_a_shape(hint) for hint in hints.values()):
        return _types(thing)
    # What a generator yields comes in the middle of other calls, whose shapes are none of its own.
    return _by_jaxtyping(thing) if inspect.isgeneratorfunction(thing) else _shapes(thing)


def _without_hints_for_mypy_alone(function: Any) -> Any:
    """The same function, with those of its hints that name something here."""
    parts = ("__code__", "__globals__", "__name__", "__defaults__", "__closure__")
    same = FunctionType(*(getattr(function, part) for part in parts))
    functools.update_wrapper(same, function)
    del same.__wrapped__  # type: ignore[attr-defined]
    same.__kwdefaults__ = function.__kwdefaults__
    same.__annotations__ = {}
    for name, hint in function.__annotations__.items():
        with suppress(NameError, TypeError):
            same.__annotations__[name] = eval(hint, function.__globals__) if isinstance(hint, str) else hint
    return same


def _shapes(function: Any) -> Any:
    """Check types and shapes: a letter stands for one length in all arguments and the result of a call.

    jaxtyping's own wrapper binds the arguments to the signature and looks at each twice.
    """
    typed = _types(function)

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        with _one_call:
            return typed(*args, **kwargs)

    return called


def _speaks_of_a_shape(function: Any) -> bool:
    """By the look of it, for what is made anew at each call."""
    hints = [str(hint) for hint in function.__annotations__.values()]
    return any(sign in hint for hint in hints for sign in ("Tensor, ", "ndarray, ", "Latents"))


def _holds_a_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_holds_a_shape(part) for part in (hint if isinstance(hint, list) else get_args(hint)))


class _Finder(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.split(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Decorates every function and class of a module; what is compiled so lies beside what is compiled plainly."""

    def get_code(self, fullname: str) -> CodeType | None:
        place = "importlib._bootstrap_external.cache_from_source"
        with patch(place, lambda path, **_: cache_from_source(path, optimization="checked1")):
            return super().get_code(fullname)

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:
        tree = ast.parse(data, path)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                name = ast.copy_location(ast.Name(_CHECKED, ast.Load()), node)
                # Over a class, so that it is a dataclass by then; next to a function, so that its hints are its own.
                node.decorator_list.insert(0 if isinstance(node, ast.ClassDef) else len(node.decorator_list), name)
        code: CodeType = compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)
        return code

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[_CHECKED] = checked
        super().exec_module(module)
