"""Locate, explain, erase and amplify concepts in text-to-image diffusion models, and measure what is gone.

    import turpentine as tp

    model = tp.load()
    images = model.generate(["a church", "a dog"], seeds=[0, 1])

Importing this package is fast: each name is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turpentine import amplify as amplify
    from turpentine import attack as attack
    from turpentine import audit as audit
    from turpentine import edits as edits
    from turpentine import erase as erase
    from turpentine import explain as explain
    from turpentine import judges as judges
    from turpentine import methods as methods
    from turpentine import study as study
    from turpentine.concepts import Concept as Concept
    from turpentine.core.default_progress import set_progress_bars as set_progress_bars
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
    "set_progress_bars": "turpentine.core.default_progress",
}

_ROOMS = ("amplify", "attack", "audit", "edits", "erase", "explain", "judges", "methods", "study")
"""Modules whose plug-ins and functions are had without importing them by hand: `tp.explain.Trace`."""

__all__ = [
    "Concept",
    "Edit",
    "Model",
    "Sites",
    "Trajectory",
    "__version__",
    "amplify",
    "attack",
    "audit",
    "edits",
    "erase",
    "explain",
    "judges",
    "load",
    "methods",
    "set_progress_bars",
    "study",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
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
