"""The work of a bench as values: what draws, pictures, batches of them, judges, and the lines of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest
from turpentine.judges import Judge
from turpentine.models import Model
from turpentine.models.identity import describe
from turpentine.runs.method_settings import facts_of
from turpentine.runs.protocol import Protocol
from turpentine.tasks.cases import Case

Pair: TypeAlias = tuple[str, int]
"""A prompt and a seed: together with a state they are one picture."""


@dataclass(frozen=True, eq=False)
class Source:
    """A model: how it is loaded, and which one that is.

    Two sources are equal if they are loaded alike and describe the same model.

    Args:
        load: What `turpentine.load` is told.
        model: What decides the model's numbers, as `turpentine.models.identity.describe` has it.
        dtype: What `load` is told of it, such as "float32".
        device: What `load` is told of it; by default the kind of device that `model` names.
    """

    load: str
    model: Mapping[str, Any]
    dtype: str
    device: str | None = None

    @classmethod
    def of(cls, model: Model, load: str | None = None, device: str | None = None) -> Source:
        """Return the source of a loaded model; `load` is by default the model's name, by which it was loaded."""
        return cls(load or model.name, describe(model), str(model.dtype).removeprefix("torch."), device)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the model's description."""
        return digest(self.model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and (self.load, self.key) == (other.load, other.key)

    def __hash__(self) -> int:
        return hash((self.load, self.key))


@dataclass(frozen=True, eq=False)
class Recipe:
    """What an edit, or a change of the guidance, is made from: made once however many lines of a table need it.

    method: a method with its settings. concepts: all at once. name: what people call the method, such as "esd-x".
    Two recipes are equal if what they make is.
    """

    source: Source
    method: Any
    concepts: tuple[Concept, ...]
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or type(self.method).__name__)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the model, the method's name and settings, and the concepts."""
        return digest([self.source.key, facts_of(self.method), [asdict(one) for one in self.concepts]])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True)
class State:
    """What draws: everything but prompt and seed.

    source: the model. recipe: of the edit that is on it, None for none. The rest as in `Model.generate`.
    """

    source: Source
    recipe: Recipe | None
    steps: int
    guidance_scale: float
    solver: str
    size: int | None
    negative_prompt: str

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What `Model.generate` is told."""
        names = ("steps", "guidance_scale", "solver", "size", "negative_prompt")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return digest([self.source.key, self.recipe.key if self.recipe else None, self.settings])

    @property
    def unedited(self) -> State:
        """The same without the recipe's edit: what it is compared with."""
        return replace(self, recipe=None)


@dataclass(frozen=True)
class Item:
    """One picture. state: the digest of what draws it."""

    state: str
    prompt: str
    seed: int

    @property
    def key(self) -> str:
        """SHA-256 of the three."""
        return digest([self.state, self.prompt, self.seed])


@dataclass(frozen=True)
class Batch:
    """Pictures that are always drawn together: the unit that is leased, drawn, judged and written.

    What a network computes depends, in its last bits, on how rows are batched; so batches are fixed when the work is
    planned, and are drawn whole also if a part of one is known.
    """

    state: State
    pairs: tuple[Pair, ...]

    @cached_property
    def key(self) -> str:
        """SHA-256 of the state, and of the prompts and seeds in their order."""
        return digest([self.state.digest, self.pairs])

    @property
    def items(self) -> list[Item]:
        """Its pictures."""
        return [Item(self.state.digest, *pair) for pair in self.pairs]

    @property
    def singles(self) -> list[Batch]:
        """Each picture as a batch of its own."""
        return [Batch(self.state, (pair,)) for pair in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, eq=False)
class JudgeSpec:
    """A judge as a value: how it is made, and which one that is.

    name, settings: what `turpentine.judges.judge` is told. facts: the made judge's own name, revision and settings,
    which must be the same for two scores to be compared. needs: what it wants beside the pictures. columns: of its
    scores.
    """

    name: str
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    needs: frozenset[str]
    columns: tuple[str, ...]

    @classmethod
    def of(cls, judge: Judge, name: str | None = None, settings: Mapping[str, Any] | None = None) -> JudgeSpec:
        """Return the value of a judge.

        Args:
            judge: The judge itself.
            name: How `turpentine.judges.judge` makes it; by default its own name.
            settings: What it is made with; by default those fields of a dataclass that differ from their defaults.
        """
        settings = _settings_of(judge) if settings is None else settings
        facts = {"name": judge.name, "revision": judge.revision, "settings": dict(judge.settings)}
        return cls(name or judge.name, dict(settings), facts, frozenset(judge.needs), tuple(judge.columns))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the facts."""
        return digest(self.facts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JudgeSpec) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True)
class Cell:
    """One line of a table: a model, edited or not, what it is asked to draw, how, and who judges.

    recipe: of the edit; None for the model as it is. concepts: what the line is about, also where nothing is edited.
    Raises BadArgument if two judges have a column of one name, or none says anything of a case's attribute.
    """

    source: Source
    cases: tuple[Case, ...]
    protocol: Protocol
    judges: tuple[JudgeSpec, ...]
    recipe: Recipe | None = None
    concepts: tuple[Concept, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "cases", tuple(dict.fromkeys(self.cases)))
        _check_columns(self.judges, self.cases)

    @cached_property
    def id(self) -> str:
        """A short name of the line in a table of results: the beginning of a SHA-256 of what it is of."""
        made = self.recipe.key if self.recipe else None
        texts = [asdict(one) for one in self.concepts]
        return digest([self.source.key, made, texts, self.comparable])[:12]

    @property
    def method(self) -> str:
        """What people call the method; "" where nothing is edited."""
        return self.recipe.name if self.recipe else ""

    @property
    def concept(self) -> str:
        """The texts of the concepts."""
        return ", ".join(one.text for one in self.concepts)

    @classmethod
    def edited(
        cls,
        source: Source,
        method: Any,
        concepts: Sequence[Concept],
        cases: Sequence[Case],
        protocol: Protocol,
        judges: Sequence[JudgeSpec],
        name: str = "",
    ) -> Cell:
        """The line of a method and its concepts. name: what people call the method."""
        concepts = tuple(concepts)
        return cls(source, tuple(cases), protocol, tuple(judges), Recipe(source, method, concepts, name), concepts)

    @property
    def pictures(self) -> dict[State, dict[Pair, None]]:
        """What is drawn for it: by state, each picture once, in order."""
        found: dict[State, dict[Pair, None]] = {}
        for case, state, seeds in self.asked():
            found.setdefault(state, {}).update(((case.prompt, seed), None) for seed in seeds)
        return found

    @cached_property
    def comparable(self) -> dict[str, Any]:
        """What two lines must share to stand in one table, as JSON has it: drawing, number format, cases, judges."""
        return {**comparable(self.cases, self.judges, self.protocol), "dtype": self.source.dtype}

    def rows(self) -> Iterator[tuple[Case, State, Pair]]:
        """Each case with each of its seeds, in order, and the state that draws it."""
        for case, state, seeds in self.asked():
            for seed in seeds:
                yield case, state, (case.prompt, seed)

    def asked(self) -> Iterator[tuple[Case, State, tuple[int, ...]]]:
        """Each case, the state that draws it, and its seeds."""
        states: dict[float, State] = {}
        for case in self.cases:
            scale = self.protocol.guidance_scale if case.guidance_scale is None else case.guidance_scale
            state = states.get(scale) or states.setdefault(scale, self._state(scale))
            yield case, state, self.protocol.seeds if case.seed is None else (case.seed,)

    def _state(self, guidance_scale: float) -> State:
        facts = self.protocol
        return State(
            self.source, self.recipe, facts.steps, guidance_scale, facts.solver, facts.size, facts.negative_prompt
        )


def comparable(cases: Iterable[Case], judges: Iterable[JudgeSpec], protocol: Protocol) -> dict[str, Any]:
    """What two measurements must share to be compared, as JSON has it: drawing, cases and judges."""
    asked = digest([asdict(case) for case in cases])
    return {**protocol.facts(), "cases": asked, "judges": [dict(judge.facts) for judge in judges]}


def _settings_of(judge: Judge) -> dict[str, Any]:
    """The fields of a judge that differ from their defaults; none of a judge that is no dataclass."""
    if not is_dataclass(judge):
        return {}
    values = {each.name: (getattr(judge, each.name), _default(each)) for each in fields(judge) if each.init}
    return {name: value for name, (value, default) in values.items() if value != default}


def _default(of: Field[Any]) -> Any:
    return of.default if of.default_factory is MISSING else of.default_factory()


def _check_columns(judges: Sequence[JudgeSpec], cases: Iterable[Case]) -> None:
    columns = [column for judge in judges for column in judge.columns]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise BadArgument(f"Two judges have a column {' and '.join(twice)}: leave one of them out.")
    missing = sorted({case.attribute for case in cases if case.attribute} - set(columns))
    if missing:
        raise BadArgument(f"The judge says nothing of {', '.join(missing)}: it knows {', '.join(sorted(columns))}.")
