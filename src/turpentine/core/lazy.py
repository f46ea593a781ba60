"""Packages whose names are imported when they are first used, so that a command starts fast."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Collection, Iterator
from importlib.abc import InspectLoader
from typing import Any

from turpentine.core.plugins import class_names, find_class


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`, which import each of its names when it is first used.

    The names are those that its `__init__` imports under `if TYPE_CHECKING:`, where a type checker reads them.

    Example, in an `__init__`:

        if TYPE_CHECKING:
            from turpentine.models.model import Model as Model

        __getattr__, __dir__ = lazy_exports(__name__)

    Args:
        package: The package's own `__name__`.
    """
    homes = dict(_homes(package))

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = homes[name]
        value = getattr(importlib.import_module(module), original)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*vars(sys.modules[package]), *homes})

    return __getattr__, __dir__


def plugin_exports(package: str, kind: str | Collection[str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's `__getattr__` and `__dir__`: its lazy exports, and the plug-ins of a kind by class name.

    A plug-in comes from its own module, that of another package too; so does its finding, such as `TraceFinding`.

    Example:
        >>> import turpentine as tp
        >>> tp.erase.UCE().name, "CADAmplify" in dir(tp.amplify), "CADAmplify" in dir(tp.erase)
        ('uce', True, False)

    Args:
        package: The package's own `__name__`.
        kind: One of `turpentine.core.plugins.KINDS`, or some of them.
    """
    own, _ = lazy_exports(package)
    homes = dict(_homes(package))

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name.startswith("_"):  # what Python itself asks a module for, such as __path__
            raise AttributeError(name)
        if name in homes:
            return own(name)
        plugin = find_class(name, kind) or find_class(name.removesuffix("Finding"), kind)
        if plugin is None:
            raise AttributeError(f"{package} has no {name!r}: there are {', '.join(class_names(kind)) or 'none yet'}.")
        value = plugin.load()
        return value if name == plugin.class_name else getattr(sys.modules[value.__module__], name)

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*homes, *class_names(kind)})

    return __getattr__, __dir__


def _homes(package: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each name that a package imports for type checkers only, and the module and the name there."""
    spec = sys.modules[package].__spec__
    assert spec is not None and isinstance(spec.loader, InspectLoader)
    for block in ast.parse(spec.loader.get_source(package) or "").body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for line in block.body:
                assert isinstance(line, ast.ImportFrom) and line.module is not None, "imported as from module import"
                yield from ((each.asname or each.name, (line.module, each.name)) for each in line.names)
