"""The type checker that the import hook puts on the package: an int is welcome where a float is, as Python says.

A function inside of another is made, and would be compiled for checking, at each call of the other: it is checked only
if its signature names a shape, which mypy does not see.
"""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check what a function is called with and what it returns."""
    is_inner = "<locals>" in getattr(function, "__qualname__", "")
    return function if is_inner and not _names_a_shape(function) else _checked(function)


def _names_a_shape(function: Callable[..., Any]) -> bool:
    hints = getattr(function, "__annotations__", {}).values()
    return any('Tensor, "' in str(hint) or 'ndarray, "' in str(hint) or "Latents" in str(hint) for hint in hints)
