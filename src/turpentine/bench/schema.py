"""The keys and values of a bench's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from turpentine import judges
from turpentine.bench.entries import attempted, concepts_entry, one_key, validated
from turpentine.bench.method_entries import BenchMethods
from turpentine.bench.metrics import Goal, Measure
from turpentine.concepts import Concept, Kind
from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.plugins import find
from turpentine.core.seeds import parse_seeds
from turpentine.core.settings import Seed, as_typed, reason
from turpentine.core.suggest import offer
from turpentine.emoji import WORLD
from turpentine.judges.registry import is_network
from turpentine.models.solvers import Solver
from turpentine.tasks.case_rules import CaseRule, FileSection

CHEAP = {"judges": "by name"}
"""The context of a validation that needs no torch: judges are not made, and only their names are checked."""


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


def _judge(value: Any) -> JudgeEntry:
    name, settings = one_key(value, "judge")
    return JudgeEntry(name, settings, judges.judge(name, **settings))


def checked_judge(value: Any, info: Any) -> Any:
    """Read a judge; where only what is cheap is to be checked, its name alone, since its class brings torch."""
    if info.context != CHEAP:
        return attempted(_judge, value)
    name, settings = attempted(lambda each: one_key(each, "judge"), value)
    if not is_network(name):
        attempted(lambda each: find(each, "judge"), name)
    return JudgeEntry(name, settings, None)


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


def suited(entry: JudgeEntry, models: Sequence[str]) -> JudgeEntry:
    """Return a judge with the settings that suit the models: one of the emoji world answers for no other.

    Args:
        entry: As the file writes it.
        models: As `load` takes them.
    """
    other = next((model for model in models if model != WORLD), WORLD)
    settings = judges.settings_for(entry.name, other, entry.settings)
    return (
        entry if settings == entry.settings else JudgeEntry(entry.name, settings, judges.judge(entry.name, **settings))
    )


BenchModels = Annotated[tuple[Annotated[ModelEntry, validated(_model)], ...], Field(min_length=1)]


def _at_once(value: Any) -> Any:
    """Return a number of pictures as it is written; None for `auto`, which follows the free memory."""
    return None if value == "auto" else value


class DrawSettings(FileSection):
    """How pictures are drawn; see `bench.Protocol`. Steps and guidance that are left out are the model's family's."""

    steps: Annotated[int, Field(ge=1)] | None = None
    guidance_scale: float | None = None
    solver: Solver = "ddim"
    size: Annotated[int, Field(ge=1)] | None = None
    negative_prompt: str = ""
    batch_size: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_at_once)] = None


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
        methods: Names, or names with settings; or stacks of edits, see `bench.method_entries`.
        judges: Names, or names with settings.
        measures: The table's numbers.
        drawing: How pictures are drawn.
        seeds: Of each prompt.
        references: A folder of real pictures, for measures such as "fid of features to references".
        cases: The prompts of the models.
    """

    title: str
    about: str = ""
    source: str = ""
    goal: Goal = "erase"
    models: BenchModels
    concepts: tuple[Annotated[tuple[Concept, ...], validated(concepts_entry)], ...] = ()
    concepts_from: str | None = None
    kind: Kind = "object"
    keep_others: bool = False
    methods: BenchMethods = ()
    judges: tuple[Annotated[JudgeEntry, BeforeValidator(checked_judge)], ...] = ()
    measures: tuple[Annotated[Measure, validated(_measure)], ...] = (Measure("rate", "hit", "higher"),)
    drawing: DrawSettings = DrawSettings()
    seeds: Annotated[tuple[int, ...], validated(seeds_of)] = tuple(range(8))
    references: Annotated[str, Field(min_length=1)] | None = None
    cases: tuple[CaseRule, ...] = Field(min_length=1)
