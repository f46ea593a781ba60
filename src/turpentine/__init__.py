"""Locate, explain, erase, amplify and audit concepts in text-to-image diffusion models.

    import turpentine as tp

    model = tp.load()
    images = model.generate(["a church", "a dog"], seeds=[0, 1])

Importing this package is fast: each name is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turpentine import methods as methods
    from turpentine.concepts import Concept as Concept
    from turpentine.edits import Edit as Edit
    from turpentine.models import Model as Model
    from turpentine.models import Sites as Sites
    from turpentine.models import Trajectory as Trajectory
    from turpentine.models import load as load

    __version__: str

_HOMES = {
    "Concept": "turpentine.concepts",
    "Edit": "turpentine.edits",
    "Model": "turpentine.models",
    "Sites": "turpentine.models",
    "Trajectory": "turpentine.models",
    "load": "turpentine.models",
}

__all__ = ["Concept", "Edit", "Model", "Sites", "Trajectory", "__version__", "load", "methods"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name == "methods":
        return importlib.import_module("turpentine.methods")
    if name not in _HOMES:
        raise AttributeError(f"module 'turpentine' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("turpentine")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
