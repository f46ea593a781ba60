"""Imports that no signal cuts in two.

Ctrl-C in the middle of `import torch` may come while its C++ calls Python, which then ends the process by an abort that
prints a page of addresses, and by no exit code of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

from turpentine.core.signals import uninterrupted


@contextmanager
def imported_whole(*names: str) -> Iterator[None]:
    """Let signals wait until a module is imported, where its first import falls into a `with` block.

    Args:
        names: Of modules that are written in Python, such as "torch".

    Example:
        >>> with imported_whole("torch"):
        ...     import torch
    """
    finder = _Finder(frozenset(names))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """Finds what Python finds, and has it loaded whole."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in self._names else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _WholeLoader(spec.loader.name, spec.loader.path)
        return spec


class _WholeLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with uninterrupted():
            super().exec_module(module)
