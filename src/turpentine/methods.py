"""Every method under its name: `turpentine.methods.ESD`. Nothing is imported before a name is asked for."""

from __future__ import annotations

from typing import Any

from turpentine.core.plugins import methods as _known


def __getattr__(name: str) -> Any:
    if name.startswith("_"):  # what Python itself asks a module for, such as __path__
        raise AttributeError(name)
    known = _known()
    if name not in known:
        raise AttributeError(f"No method is called {name!r}: there are {', '.join(known) or 'none'}.")
    return known[name]


def __dir__() -> list[str]:
    return list(_known())
