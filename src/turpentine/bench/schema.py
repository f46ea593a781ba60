"""The keys and values of a bench's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from turpentine import judges
from turpentine.bench.metrics import Goal, Measure
from turpentine.concepts import Concept, Kind
from turpentine.core.errors import BadArgument, TurpentineError, UnknownName
from turpentine.core.plugins import METHODS, Plugin, find
from turpentine.core.seeds import parse_seeds
from turpentine.core.settings import Seed, as_typed, field_types, range_of, reason, speakable
from turpentine.core.suggest import offer
from turpentine.emoji.lexicon import world_concept
from turpentine.judges.registry import is_network
from turpentine.models.solvers import Solver
from turpentine.tasks.case_rules import CaseRule, FileSection

CHEAP = {"judges": "by name"}
"""The context of a validation that needs no torch: judges are not made, and only their names are checked."""


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
    def name(self) -> str:
        """The method's name with its settings, such as "esd-x", or "esd-x steps=300"."""
        return " ".join([self.plugin.name, *(f"{key}={value}" for key, value in self.settings.items())])

    def method_for(self, model: str) -> Any:
        """Return the method with its defaults for a model, which is named as `load` takes it."""
        return replace(self.plugin.defaults(model), **self.settings)


@dataclass(frozen=True, eq=False)
class JudgeEntry:
    """A judge as a file writes it.

    Attributes:
        name: Argument of `turpentine.judges.judge`.
        settings: Arguments of `turpentine.judges.judge`.
        judge: The judge; None where only its name was checked.
    """

    name: str
    settings: Mapping[str, Any]
    judge: Any


@dataclass(frozen=True)
class ModelEntry:
    """A model as a file writes it.

    Attributes:
        source: Name or path, as `turpentine.load` takes it.
        options: What it is loaded with: config, prediction and zero_snr, where the file says them.
    """

    source: str
    options: Mapping[str, Any] = field(default_factory=dict)


def one_key(value: Any, what: str, settings: str = "steps: 10") -> tuple[str, dict[str, Any]]:
    """Return the name and the settings in `name` or `name: {setting: value}`.

    Example:
        >>> one_key({"esd-x": {"steps": 10}}, "method")
        ('esd-x', {'steps': 10})

    Args:
        value: From YAML.
        what: What is named, for the error.
        settings: Examples of settings, for the error.

    Raises:
        BadArgument: The value is neither.
    """
    if isinstance(value, str):
        return value, {}
    if isinstance(value, dict) and len(value) == 1:
        name, values = next(iter(value.items()))
        if isinstance(name, str) and (values is None or isinstance(values, dict)):
            return name, values or {}
    raise BadArgument(f"A {what} is written as its name, or as its name with settings, such as name: {{{settings}}}.")


class LoadOptions(FileSection):
    """How a model is loaded; see `turpentine.load`."""

    config: str | None = None
    prediction: Literal["epsilon", "v_prediction"] | None = None
    zero_snr: bool | None = None


def _model(value: Any) -> ModelEntry:
    source, options = one_key(value, "model", "config: FOLDER, prediction: v_prediction, zero_snr: true")
    try:
        return ModelEntry(source, LoadOptions(**options).model_dump(exclude_none=True))
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        names = list(LoadOptions.model_fields)
        if key not in names:
            raise UnknownName(f"A model has no {key!r}: {offer(key, names)}") from error
        raise BadArgument(f"The model's {key} is {options[key]!r}: {reason(error)}.") from error


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


def _judge(value: Any) -> JudgeEntry:
    name, settings = one_key(value, "judge")
    return JudgeEntry(name, settings, judges.judge(name, **settings))


def checked_judge(value: Any, info: Any) -> Any:
    """Read a judge; where only what is cheap is to be checked, its name alone, since its class brings torch."""
    if info.context != CHEAP:
        return _validate(_judge, value)
    name, settings = _validate(lambda each: one_key(each, "judge"), value)
    if not is_network(name):
        _validate(lambda each: find(each, "judge"), name)
    return JudgeEntry(name, settings, None)


def _concepts(value: Any) -> tuple[Concept, ...]:
    """Read what is erased at once: a text, a concept's fields, or a list of those."""
    return tuple(map(single_concept, value)) if isinstance(value, list) and value else (single_concept(value),)


def single_concept(value: Any) -> Concept:
    """Return a concept as a file writes it: a text, or its fields.

    Raises:
        BadArgument: It is neither, or a field is not as it must be.
        UnknownName: A concept has no such field.
    """
    if isinstance(value, str):
        return world_concept(value)
    if not isinstance(value, dict):
        raise BadArgument(f"{value!r} is no concept: write a text in quotation marks, or text, kind, templates, keep.")
    names = [each.name for each in fields(Concept)]
    for key in value:
        if key not in names:
            raise UnknownName(f"A concept has no {key!r}: {offer(key, names)}")
    try:
        return TypeAdapter(Concept).validate_python(value)
    except ValidationError as error:
        what = error.errors()[0]["loc"][0]
        raise BadArgument(f"The concept's {what} is not as it must be: {reason(error)}.") from error


def seeds_of(value: Any) -> tuple[int, ...]:
    """Return the seeds of a file: a list, or a text such as "0-9".

    Raises:
        BadArgument: They are no seeds.
    """
    if isinstance(value, list):
        seeds: tuple[int, ...] = as_typed(value, tuple[Seed, ...])
        return seeds
    return tuple(parse_seeds(str(value)))


def _measure(value: Any) -> Measure:
    return Measure.parse(str(value))


def validated(read: Callable[[Any], Any]) -> BeforeValidator:
    """Return a validator whose error keeps its place in the file."""

    return BeforeValidator(partial(_validate, read))


def _validate(read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except TurpentineError as error:
        raise ValueError(str(error)) from error


def _method(value: Any) -> MethodEntry:
    return plugin_entry(value, "method", METHODS)


BenchModels = Annotated[tuple[Annotated[ModelEntry, validated(_model)], ...], Field(min_length=1)]
BenchMethods = tuple[Annotated[MethodEntry, validated(_method)], ...]


class DrawSettings(FileSection):
    """How pictures are drawn; see `bench.Protocol`."""

    steps: Annotated[int, Field(ge=1)] = 20
    guidance_scale: float = 4.0
    solver: Solver = "ddim"
    size: Annotated[int, Field(ge=1)] | None = None
    negative_prompt: str = ""
    batch_size: Annotated[int, Field(ge=1)] = 16


class BenchSpec(FileSection):
    """The content of a bench's file.

    Attributes:
        title: Of the table.
        about: What it shows.
        source: What it is a counterpart of, such as a paper's table.
        goal: Whether pictures are to show the concepts less, or more.
        models: Names or paths, as `load` takes them, or these with what they are loaded with.
        concepts: Erased one after the other; a list within the list is erased at once.
        concepts_from: A column of the file of prompts whose values are the concepts, in the place of `concepts`.
        kind: What sort of thing those of `concepts_from` are.
        keep_others: Whether each of `concepts_from` keeps the others, for methods that are given what must not change.
        methods: Names, or names with settings.
        judges: Names, or names with settings.
        measures: The table's numbers.
        drawing: How pictures are drawn.
        seeds: Of each prompt.
        cases: The prompts of the models.
    """

    title: str
    about: str = ""
    source: str = ""
    goal: Goal = "erase"
    models: BenchModels
    concepts: tuple[Annotated[tuple[Concept, ...], validated(_concepts)], ...] = ()
    concepts_from: str | None = None
    kind: Kind = "object"
    keep_others: bool = False
    methods: BenchMethods = ()
    judges: tuple[Annotated[JudgeEntry, BeforeValidator(checked_judge)], ...] = ()
    measures: tuple[Annotated[Measure, validated(_measure)], ...] = (Measure("rate", "hit", "higher"),)
    drawing: DrawSettings = DrawSettings()
    seeds: Annotated[tuple[int, ...], validated(seeds_of)] = tuple(range(8))
    cases: tuple[CaseRule, ...] = Field(min_length=1)
