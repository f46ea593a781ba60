"""Methods by name: the package's own, and those that other packages add.

A method is a frozen dataclass whose fields are its settings and whose call does the work. It joins by the decorator:

    @method
    @dataclass(frozen=True)
    class ESD: ...

Another package adds one by an entry point in the group `turpentine.methods` that names the class.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, TypeVar, cast

GROUP = "turpentine.methods"
# A new file in one of these packages is all that a new method takes.
PACKAGES = ("turpentine.erase", "turpentine.explain", "turpentine.attack")

Class = TypeVar("Class", bound=type[Any])
_methods: dict[str, type[Any]] = {}


def method(cls: Class) -> Class:
    """Register a method under its class's name. Raises TypeError if it cannot be one, or if the name is taken."""
    if not (_is_frozen(cls) and "__call__" in dir(cls)):
        raise TypeError(f"{cls.__qualname__} is not a method: it must be a frozen dataclass with a __call__.")
    taken = _methods.get(cls.__name__)
    if taken is not None and _full_name(taken) != _full_name(cls):
        raise TypeError(f"Two methods are called {cls.__name__}: {_full_name(taken)} and {_full_name(cls)}.")
    _methods[cls.__name__] = cls
    return cls


def methods() -> Mapping[str, type[Any]]:
    """Every known method, name to class, in order of name."""
    _discover()
    return MappingProxyType(dict(sorted(_methods.items())))


def _is_frozen(cls: Any) -> bool:
    return is_dataclass(cls) and bool(cast(Any, cls).__dataclass_params__.frozen)


def _full_name(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@cache
def _discover() -> None:
    for package in PACKAGES:
        _import_modules(package)
    for point in entry_points(group=GROUP):
        _load_plugin(point)


def _import_modules(package: str) -> None:
    try:
        parent = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name == package:  # the package has no such part yet
            return
        raise
    for module in pkgutil.iter_modules(parent.__path__):
        importlib.import_module(f"{package}.{module.name}")


def _load_plugin(point: EntryPoint) -> None:
    """Another package's fault must not take our own methods away: say what failed, and go on."""
    try:
        loaded: Callable[..., Any] = point.load()
        if isinstance(loaded, type):
            method(loaded)
    except Exception as error:
        warnings.warn(f"The method {point.name!r} of {point.value!r} could not be loaded: {error}", stacklevel=2)
