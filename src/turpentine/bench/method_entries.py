"""The methods of a bench's file: one alone, or several edits of which each is made on top of those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_args

from pydantic import Field

from turpentine.bench.entries import concepts_entry, one_key, validated
from turpentine.bench.metrics import Goal
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.plugins import METHODS, Plugin, find
from turpentine.core.settings import as_typed, field_types, range_of, speakable
from turpentine.core.suggest import offer
from turpentine.tasks.case_rules import FileSection

if TYPE_CHECKING:  # it brings torch, and a file with a fault is refused before
    from turpentine.runs.specs import StackPart

STACK, EACH, OF = "stack", "each", "of"
"""Keys of edits on top of each other, of one edit for each concept of a line, and of an edit's own concepts."""


@dataclass(frozen=True)
class MethodEntry:
    """A method as a file writes it.

    Attributes:
        plugin: The method.
        settings: Those that differ from its defaults for the model.
    """

    plugin: Plugin
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[PartEntry, ...]:
        """The method as the only edit of a stack."""
        return (PartEntry(self),)

    @property
    def name(self) -> str:
        """The method's name with its settings, such as "esd-x", or "esd-x steps=300"."""
        return " ".join([self.plugin.name, *(f"{key}={value}" for key, value in self.settings.items())])

    def method_for(self, model: str) -> Any:
        """Return the method with its defaults for a model, which is named as `load` takes it."""
        return replace(self.plugin.defaults(model), **self.settings)

    def edits(self, model: str, concepts: Sequence[Concept]) -> list[StackPart]:
        """Return its edit of a line of the table, as `EditSpec.stacked` takes it.

        Args:
            model: As `load` takes it.
            concepts: Of the line.
        """
        from turpentine.runs.specs import StackPart

        return [StackPart(self.method_for(model), tuple(concepts), self.name)]


@dataclass(frozen=True)
class PartEntry:
    """An edit of a stack, as a file writes it.

    Attributes:
        method: What makes it.
        of: What it erases or amplifies at once; () for the concepts of the line.
        each: Whether it is an edit for each concept of the line, one on top of the other.
    """

    method: MethodEntry
    of: tuple[Concept, ...] = ()
    each: bool = False

    @property
    def name(self) -> str:
        """The method's name, and what it is of if that is not the line's concepts."""
        texts = " and ".join(one.text for one in self.of)
        whose = f" of {texts}" if texts else " for each concept" if self.each else ""
        return f"{self.method.name}{whose}"


@dataclass(frozen=True)
class MethodStack:
    """Several edits, as a file writes them: each is made on the model with those before it, and all stay on.

    Attributes:
        parts: The edits, in their order.
    """

    parts: tuple[PartEntry, ...]

    @property
    def plugin(self) -> Plugin:
        """The method of the last edit, which says what the whole is for."""
        return self.parts[-1].method.plugin

    @property
    def name(self) -> str:
        """The names of its edits, such as "esd-x, then cad-amplify share=0.001"."""
        return ", then ".join(part.name for part in self.parts)

    def edits(self, model: str, concepts: Sequence[Concept]) -> list[StackPart]:
        """Return its edits of a line of the table, as `EditSpec.stacked` takes them.

        Args:
            model: As `load` takes it.
            concepts: Of the line.
        """
        return [
            edit
            for part in self.parts
            for own in ([(one,) for one in concepts] if part.each else [part.of or concepts])
            for edit in part.method.edits(model, own)
        ]


AnyMethod: TypeAlias = MethodEntry | MethodStack


def begins(entry: AnyMethod, other: AnyMethod) -> bool:
    """Return whether the edits of one entry are the first of another's, which has more."""
    return len(entry.parts) < len(other.parts) and other.parts[: len(entry.parts)] == entry.parts


def of_another_kind(plugin: Plugin, goal: Goal) -> str:
    """Return why a method cannot stand in a bench that is for something else, and the way out.

    Args:
        plugin: The method.
        goal: Of the bench.
    """
    if plugin.kind not in get_args(Goal):
        return f"{plugin.name} is of the kind {plugin.kind}, and this bench is to {goal}: leave it out."
    return f"{plugin.name} is to {plugin.kind}, and this bench is to {goal}: leave it out, or set goal: {plugin.kind}."


def plugin_entry(value: Any, what: str, kinds: Sequence[str]) -> MethodEntry:
    """Return a method or an attack as a file writes it.

    Args:
        value: From YAML.
        what: "method" or "attack", for errors.
        kinds: Of plug-ins.

    Raises:
        BadArgument: It is written otherwise, or a setting cannot be as it is.
        UnknownName: There is none of this name, or no such setting.
    """
    name, settings = one_key(value, what)
    plugin = find(name, kinds)
    return MethodEntry(plugin, {key: _setting(plugin, what, key, given) for key, given in settings.items()})


def _setting(plugin: Plugin, what: str, key: str, value: Any) -> Any:
    """Return the value in the type of the plug-in's field."""
    types = field_types(plugin.load())
    if key not in types:
        raise UnknownName(f"The {what} {plugin.name} has no setting {key!r}: {offer(key, types)}")
    hint = speakable(types[key])
    if hint is None:
        raise BadArgument(f"The setting {key} of {plugin.name} cannot be written in a file.")
    try:
        return as_typed(value, hint)
    except BadArgument as error:
        allowed = f"; give {range_of(hint)}" if range_of(hint) else ""
        raise BadArgument(f"The setting {key} of {plugin.name} cannot be {value!r}: {error}{allowed}.") from error


def _part(value: Any) -> PartEntry:
    """Return an edit of a stack: a method, `each: method`, or a method with `of: concept` beside it."""
    if not isinstance(value, dict):
        return PartEntry(plugin_entry(value, "method", METHODS))
    if EACH in value:
        _check_alone(value, EACH)
        return PartEntry(plugin_entry(value[EACH], "method", METHODS), each=True)
    if STACK in value:
        raise BadArgument("A stack cannot stand in another one: write its edits one after the other.")
    of = concepts_entry(value[OF]) if OF in value else ()
    method = {key: settings for key, settings in value.items() if key != OF}
    return PartEntry(plugin_entry(method, "method", METHODS), of)


class _Stack(FileSection):
    stack: tuple[Annotated[PartEntry, validated(_part)], ...] = Field(min_length=2)


def _method(value: Any) -> AnyMethod:
    """Return a method as a file writes it; a fault in a stack keeps its place there."""
    if isinstance(value, dict) and STACK in value:
        _check_alone(value, STACK)
        return MethodStack(_Stack.model_validate(value).stack)
    part = _part(value)
    if part.of:
        raise BadArgument(f"Only an edit of a stack is {OF} its own concepts: name them among the concepts.")
    return MethodStack((part,)) if part.each else part.method


def _check_alone(value: Mapping[str, Any], key: str) -> None:
    for other in value:
        if other != key:
            raise UnknownName(f"There is no key {other!r} beside {key}: {offer(str(other), [key])}")


def _lone_method(value: Any) -> MethodEntry:
    if isinstance(value, dict) and {STACK, EACH} & set(value):
        raise BadArgument(
            "An attack is on one edit, and these are several on top of each other: leave them out, or measure them in "
            "a bench without attacks."
        )
    return plugin_entry(value, "method", METHODS)


BenchMethods = tuple[Annotated[AnyMethod, validated(_method)], ...]
LoneMethods = tuple[Annotated[MethodEntry, validated(_lone_method)], ...]
