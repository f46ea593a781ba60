"""Every method under its class's name: `turpentine.methods.ESD`. Only the module that is asked for is imported."""

from __future__ import annotations

from typing import Any

from turpentine.core.plugins import METHODS, find_class, plugins


def __getattr__(name: str) -> Any:
    if name.startswith("_"):  # what Python itself asks a module for, such as __path__
        raise AttributeError(name)
    plugin = find_class(name)
    if plugin is None:
        raise AttributeError(f"No method is called {name!r}: there are {', '.join(__dir__()) or 'none'}.")
    return plugin.load()


def __dir__() -> list[str]:
    return sorted({each.class_name for each in plugins(METHODS).values()})
