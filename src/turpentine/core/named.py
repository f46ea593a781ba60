"""Methods under the names that papers and the command line use, and which of their settings can be written down."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from turpentine.core import plugins as registry
from turpentine.core.errors import UnknownName
from turpentine.core.suggest import offer

_PLAIN = (str, int, float, bool, Path)


@dataclass(frozen=True)
class NamedMethod:
    """A method under a name of the command line.

    name: such as "esd-x". method: its class. base, settings: for a variant, the method's name and the fields that the
        variant's name stands for.
    """

    name: str
    method: type[Any]
    base: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """What it does, in a line."""
        if self.base:
            return f"{self.base} with " + ", ".join(f"{key} {value}" for key, value in self.settings.items())
        return " ".join(inspect.cleandoc(self.method.__doc__ or "").split("\n\n")[0].split())

    def defaults(self, model: Any) -> Any:
        """The method with the defaults for a model: those of its `preset`, its fields' otherwise.

        model: the model, or what `load` is told.
        """
        make = getattr(self.method, "preset", None)
        return make(model, **self.settings) if make else self.method(**self.settings)


def named_methods() -> dict[str, NamedMethod]:
    """Every method, by class name in lower case; and its variants, where its class names them.

    A class does so by `variants`, the name of each with the fields that it sets.
    """
    found: dict[str, NamedMethod] = {}
    for class_name, method in registry.methods().items():
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", class_name).lower()
        found[name] = NamedMethod(name, method)
        variants: Mapping[str, Mapping[str, Any]] = getattr(method, "variants", {})
        found |= {each: NamedMethod(each, method, name, settings) for each, settings in variants.items()}
    return found


def find_named(name: str) -> NamedMethod:
    """The method of this name. Raises UnknownName, which offers the nearest names, or lists those that there are."""
    known = named_methods()
    if name not in known:
        raise UnknownName(f"No method is called {name!r}: {offer(name, known)}")
    return known[name]


def speakable(hint: Any) -> Any:
    """The part of a type that can be written as text, None if there is none: `str | Sites` gives `str`."""
    if get_origin(hint) is Annotated:
        return hint if speakable(get_args(hint)[0]) else None
    if hint in _PLAIN or get_origin(hint) is Literal:
        return hint
    if get_origin(hint) in (Union, types.UnionType):
        return _speakable_union(get_args(hint))
    if get_origin(hint) is tuple and all(arg is ... or speakable(arg) for arg in get_args(hint)):
        return hint
    return None


def _speakable_union(members: tuple[Any, ...]) -> Any:
    kept = [part for part in map(speakable, members) if part is not None]
    if not kept:
        return None
    return Union[(*kept, *(member for member in members if member is type(None)))]
