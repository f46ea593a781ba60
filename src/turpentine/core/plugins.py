"""Plug-ins by name: methods, attacks, instruments and judges, Turpentine's own and those of other packages.

A plug-in is a frozen dataclass whose fields are its settings and whose call does the work. A package adds one by an
entry point in the group of its kind, under the plug-in's own name; in its `pyproject.toml`:

    [project.entry-points."turpentine.erase"]
    rubbing = "rubbings.method:Rubbing"

Turpentine's own are listed in the same way. A look-up by name imports that one module and no other.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib.abc import InspectLoader
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from turpentine.core.errors import BrokenPlugin, UnknownName
from turpentine.core.suggest import offer

GROUPS: Mapping[str, str] = {
    "erase": "turpentine.erase",
    "amplify": "turpentine.amplify",
    "attack": "turpentine.attack",
    "instrument": "turpentine.instruments",
    "judge": "turpentine.judges",
}
"""The group of entry points of each kind."""

KINDS = tuple(GROUPS)

METHODS = ("erase", "amplify")
"""The kinds that make an edit or a guidance: the methods."""

_USE = {
    "erase": "erases: use `turpentine erase`",
    "amplify": "amplifies: use `turpentine amplify`",
    "attack": "attacks: use `turpentine attack`",
    "instrument": "is an instrument: use `turpentine explain`",
    "judge": "is a judge: use it with --by",
}


class Written(NamedTuple):
    """A field or a keyword as the source has it.

    Attributes:
        hint: Its annotation.
        is_required: Whether it has no default.
    """

    hint: str
    is_required: bool


@dataclass(frozen=True)
class Plugin:
    """A plug-in under its name, not imported yet.

    Example:
        >>> find("esd-x", "erase").load().__name__
        'ESD'

    Args:
        name: The plug-in's own, such as "esd-x". Several names may stand for one class: see `variant`.
        kind: One of KINDS.
        target: Where the class is, as "module:Class".
    """

    name: str
    kind: str
    target: str

    @property
    def class_name(self) -> str:
        """The class's name, such as "ESD"; nothing is imported for it."""
        return self.target.rpartition(":")[2]

    def load(self) -> type[Any]:
        """Import the module of the class, and return the class.

        Raises:
            BrokenPlugin: It cannot be imported, or is no frozen dataclass with a `__call__`.
        """
        module, _, attribute = self.target.partition(":")
        try:
            cls = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # whatever another package's module does when it is imported
            reason = f"{type(error).__name__}: {error}"
            raise BrokenPlugin(
                f"{self.name!r} ({self.target}) could not be loaded: {reason}. Mend or uninstall the package it is of."
            ) from error
        if not (_is_frozen(cls) and "__call__" in dir(cls)):
            raise BrokenPlugin(
                f"{self.name!r} ({self.target}) is not a plug-in: it must be a frozen dataclass with a __call__."
            )
        return cast(type[Any], cls)

    @property
    def variant(self) -> Mapping[str, Any]:
        """The fields that this name sets, where the class lists it in its `variants`; else none."""
        variants: Mapping[str, Mapping[str, Any]] = getattr(self.load(), "variants", {})
        return variants.get(self.name, {})

    @property
    def summary(self) -> str:
        """A line about the plug-in: the first of its docstring; of a variant, the settings that it fixes."""
        if self.variant:
            settings = ", ".join(f"{key} {value}" for key, value in self.variant.items())
            return f"{self._base} with {settings}"
        return self.headline

    @property
    def headline(self) -> str:
        """The first sentence of the class's docstring, read from the source: nothing is imported for a list of many.

        Raises:
            BrokenPlugin: There is no such class.
        """
        source = self._source
        text = ast.get_docstring(source) if source else self.load().__doc__
        return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())

    @property
    def written(self) -> Mapping[str, Written]:
        """The fields and the call's keywords as they are written in the class, before anything is imported for it.

        Empty where that says nothing: without a source, or of a class that inherits from others than `Settings`.
        """
        module, source = self._module, self._source
        if source is None or any(ast.unparse(base) != "Settings" for base in source.bases):
            return {}
        named = [node for node in module.body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value]
        aliases = {
            ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target): ast.unparse(node.value)
            for node in named
            if node.value
        }

        def hint_of(annotation: ast.expr | None) -> str:
            text = ast.unparse(annotation) if annotation else ""
            return aliases.get(text, text)

        fields = {
            node.target.id: Written(hint_of(node.annotation), node.value is None)
            for node in source.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        calls = [node.args for node in source.body if isinstance(node, ast.FunctionDef) and node.name == "__call__"]
        keywords = {
            argument.arg: Written(hint_of(argument.annotation), default is None)
            for call in calls
            for argument, default in zip(call.kwonlyargs, call.kw_defaults, strict=True)
        }
        return {**fields, **keywords}

    @property
    def _source(self) -> ast.ClassDef | None:
        """The class as its module's source has it; None where there is none."""
        name, nodes = self.class_name, self._module.body
        return next((node for node in nodes if isinstance(node, ast.ClassDef) and node.name == name), None)

    @property
    def _module(self) -> ast.Module:
        """The source of the module, empty where there is none."""
        module = self.target.partition(":")[0]
        try:
            loader = getattr(importlib.util.find_spec(module), "loader", None)
            return ast.parse((loader.get_source(module) if isinstance(loader, InspectLoader) else None) or "")
        except (ImportError, SyntaxError, ValueError):
            return ast.parse("")

    def defaults(self, model: Any = None) -> Any:
        """Make one with the defaults for a model: those of its `preset`, where it has one; else its fields' own.

        Args:
            model: The model, or the name that `turpentine.load` takes; without it, the fields' own.
        """
        preset = getattr(self.load(), "preset", None)
        return preset(model, **self.variant) if preset and model is not None else self.load()(**self.variant)

    @property
    def _base(self) -> str:
        """The name of the same class that is no variant."""
        variants = getattr(self.load(), "variants", {})
        names = (each.name for each in plugins().values() if each.target == self.target and each.name not in variants)
        return next(names, self.class_name)


def plugins(kind: str | Collection[str] | None = None) -> Mapping[str, Plugin]:
    """Return the plug-ins of a kind by name, in order of name; none of them is imported.

    Args:
        kind: One of KINDS, or some of them; all by default.
    """
    kinds = _kinds(kind)
    return MappingProxyType({name: each for name, each in _registered().items() if each.kind in kinds})


def find(name: str, kind: str | Collection[str] | None = None) -> Plugin:
    """Return the plug-in of a name.

    Args:
        name: Such as "esd-x".
        kind: One of KINDS, or some of them, that it must be of; all by default.

    Raises:
        UnknownName: None is called so, and the nearest names are offered; or it is of another kind, and what is to be
            used in its place is said.
    """
    candidates = plugins(kind)
    if name in candidates:
        return candidates[name]
    other = plugins().get(name)
    if other is not None:
        raise UnknownName(f"{name} {_USE[other.kind]}.")
    raise UnknownName(f"No {_noun(kind)} is called {name!r}: {offer(name, candidates)}")


def find_class(name: str, kind: str | Collection[str] | None = METHODS) -> Plugin | None:
    """Return a plug-in by its class's name, as a record of an edit has it; None if there is none.

    Args:
        name: Such as "ESD".
        kind: One of KINDS, or some of them; methods by default.
    """
    return next((each for each in plugins(kind).values() if each.class_name == name), None)


def class_names(kind: str | Collection[str] | None = METHODS) -> list[str]:
    """Return the names of the classes of plug-ins, sorted.

    Args:
        kind: One of KINDS, or some of them; methods by default.
    """
    return sorted({each.class_name for each in plugins(kind).values()})


def _kinds(kind: str | Collection[str] | None) -> Collection[str]:
    if kind is None:
        return KINDS
    return (kind,) if isinstance(kind, str) else kind


def _noun(kind: str | Collection[str] | None) -> str:
    kinds = _kinds(kind)
    if set(kinds) <= {"erase", "amplify"} or (len(kinds) > 1 and set(kinds) <= set(METHODS)):
        return "method"
    return next(iter(kinds)) if len(kinds) == 1 else "plug-in"


def _is_frozen(cls: Any) -> bool:
    return isinstance(cls, type) and is_dataclass(cls) and bool(cast(Any, cls).__dataclass_params__.frozen)


@cache
def _registered() -> Mapping[str, Plugin]:
    """Return all plug-ins by name; a name, and a class's name, is taken once, and ours come first."""
    named: dict[str, Plugin] = {}
    classes: dict[tuple[str, bool], str] = {}
    for plugin in sorted(_entries(), key=lambda each: not each.target.startswith("turpentine.")):
        # Records name methods by class, others by name: each must say which one it is.
        target = classes.setdefault((plugin.class_name, plugin.kind in METHODS), plugin.target)
        if named.setdefault(plugin.name, plugin) != plugin:
            _warn_of_two(plugin.name, named[plugin.name].target, plugin.target)
        elif target != plugin.target:
            del named[plugin.name]
            _warn_of_two(plugin.class_name, target, plugin.target)
    if not any(each.target.startswith("turpentine.") for each in named.values()):
        warnings.warn("Turpentine's own plug-ins are not listed: install it, such as by pip install -e .", stacklevel=2)
    return dict(sorted(named.items()))


def _entries() -> Iterator[Plugin]:
    for kind, group in GROUPS.items():
        points: Collection[EntryPoint] = entry_points(group=group)
        yield from (Plugin(point.name, kind, point.value.replace(" ", "")) for point in points)


def _warn_of_two(name: str, first: str, second: str) -> None:
    warnings.warn(f"Two plug-ins are called {name}: {first} and {second}; the second is left out.", stacklevel=3)
