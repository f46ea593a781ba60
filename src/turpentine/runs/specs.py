"""The work of a bench as values: models, edits, what draws, judges, and the lines of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest
from turpentine.judges import Judge
from turpentine.judges.worlds import check_world, title_of, world_of_judge, world_of_model
from turpentine.models import Model
from turpentine.models.identity import describe
from turpentine.runs.artefact_spec import ArtefactSpec
from turpentine.runs.method_settings import facts_of
from turpentine.runs.protocol import Protocol
from turpentine.runs.references import ReferenceSet
from turpentine.tasks.cases import Case

Pair: TypeAlias = tuple[str, int]
"""A prompt and a seed: together with a state they are one picture."""


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A model as a value: how it is loaded, and which one that is.

    Two specs are equal if they are loaded alike and describe the same model.

    Attributes:
        load: What `turpentine.load` takes: a name, a folder, a file or a hub id.
        model: What decides the model's numbers, as `turpentine.models.identity.describe` returns it.
        dtype: Number format to load it in, such as "float32".
        device: Device to load it on; by default the kind of device that `model` names.
        world: The world that it draws, "" for none of ours; None where nobody has looked.
        options: What `turpentine.load` is given beside these, by name.
    """

    load: str
    model: Mapping[str, Any]
    dtype: str
    device: str | None = None
    world: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, load: str | None = None, device: str | None = None) -> ModelSpec:
        """Return the source of a loaded model; `load` is by default the model's name, by which it was loaded."""
        dtype = str(model.dtype).removeprefix("torch.")
        world = world_of_model(model) or ""
        return cls(load or model.name, describe(model), dtype, device, world, model.load_options)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the model's description."""
        return digest(self.model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelSpec) and (self.load, self.key) == (other.load, other.key)

    def __hash__(self) -> int:
        return hash((self.load, self.key))


class StackPart(NamedTuple):
    """An edit of a stack, whatever model it is of.

    Attributes:
        method: With its settings.
        concepts: All that it erases at once.
        name: What people call the method.
    """

    method: Any
    concepts: tuple[Concept, ...]
    name: str = ""


@dataclass(frozen=True, eq=False)
class EditSpec:
    """What an edit, or a change of the guidance, is made from: made once however many lines of a table need it.

    Two specs are equal if what they make is, on the same model with the same edits on it.

    Attributes:
        source: The model that is edited.
        method: A method with its settings.
        concepts: All that are erased at once.
        name: What people call the method, such as "esd-x".
        below: Of the edit that is on the model while this one is made, and stays on under it; None for none.
    """

    source: ModelSpec
    method: Any
    concepts: tuple[Concept, ...]
    name: str = ""
    below: EditSpec | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or type(self.method).__name__)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the model, the facts of the method, the concepts, and of the same of each edit below."""
        below = [self.below.key] if self.below else []
        return digest([self.source.key, facts_of(self.method), [asdict(one) for one in self.concepts], *below])

    @property
    def stack(self) -> tuple[EditSpec, ...]:
        """All that are on the model with it, itself the last, in the order in which they are put on."""
        return (*(self.below.stack if self.below else ()), self)

    @classmethod
    def stacked(cls, source: ModelSpec, parts: Sequence[StackPart], name: str = "") -> EditSpec:
        """Return the last of several edits, each made on top of those before it.

        Args:
            source: The model.
            parts: One at least, in the order in which they are made.
            name: What people call all of them together; by default the name of the last.
        """
        below: EditSpec | None = None
        for part in parts:
            below = cls(source, part.method, part.concepts, part.name, below)
        assert below is not None, "a stack of edits has one at least"
        return replace(below, name=name or below.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EditSpec) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True)
class DrawSpec:
    """What draws a picture: everything but prompt and seed.

    Attributes:
        source: The model.
        edit_spec: Of the edit that is on it; None for the model as it is.
        steps: As in `Model.generate`.
        guidance_scale: As in `Model.generate`.
        solver: As in `Model.generate`.
        size: As in `Model.generate`.
        negative_prompt: As in `Model.generate`.
        artefact: That it is drawn from, None for none.
    """

    source: ModelSpec
    edit_spec: EditSpec | None
    steps: int
    guidance_scale: float
    solver: str
    size: int | None
    negative_prompt: str
    artefact: ArtefactSpec | None = None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The arguments of `Model.generate`."""
        names = ("steps", "guidance_scale", "solver", "size", "negative_prompt")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the model, the edit, the artefact and the settings."""
        edit, artefact = self.edit_spec, self.artefact
        parts = [self.source.key, edit.key if edit else None, self.settings, *([artefact.id] if artefact else [])]
        return digest(parts)

    @property
    def unedited(self) -> DrawSpec:
        """The same without the edit: what its pictures are compared with."""
        return replace(self, edit_spec=None)


@dataclass(frozen=True, eq=False)
class JudgeSpec:
    """A judge as a value: how it is made, and which one that is.

    Attributes:
        name: Argument of `turpentine.judges.judge`.
        settings: Arguments of `turpentine.judges.judge`.
        facts: The judge's own name, revision and settings, which must be the same for two scores to be compared.
        needs: What it needs beside the pictures.
        columns: Of its scores.
        world: The world whose pictures alone it knows; None for any picture.
    """

    name: str
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    needs: frozenset[str]
    columns: tuple[str, ...]
    world: str | None = None

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
        return cls(
            name or judge.name,
            dict(settings),
            facts,
            frozenset(judge.needs),
            tuple(judge.columns),
            world_of_judge(judge),
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the facts."""
        return digest(self.facts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JudgeSpec) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True)
class Condition:
    """One line of a table: a model, edited or not, its cases, how they are drawn, and who judges.

    Attributes:
        source: The model.
        cases: The prompts that it draws, with their ground truth.
        protocol: How they are drawn.
        judges: Who judges the pictures.
        edit_spec: Of the edit, the last of a stack of several; None for the model as it is.
        concepts: What the line is about, also where nothing is edited.
        artefact: That its pictures are drawn from, None for none.
        references: Real pictures that its pictures are held against, None for none.

    Raises:
        BadArgument: Two judges have a column of one name, none has a column for a case's attribute, or one knows
            another world alone than the model's.
    """

    source: ModelSpec
    cases: tuple[Case, ...]
    protocol: Protocol
    judges: tuple[JudgeSpec, ...]
    edit_spec: EditSpec | None = None
    concepts: tuple[Concept, ...] = ()
    artefact: ArtefactSpec | None = None
    references: ReferenceSet | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "cases", tuple(dict.fromkeys(self.cases)))
        _check_columns(self.judges, self.cases)
        for judge in self.judges if self.source.world is not None else ():
            title = title_of(judge.facts["name"], judge.facts["settings"])
            check_world(title, judge.world, self.source.world, f"the model {self.source.load}")

    @cached_property
    def id(self) -> str:
        """A short name of the line in a table of results: the first 12 characters of its SHA-256."""
        edit_key = self.edit_spec.key if self.edit_spec else None
        texts = [asdict(one) for one in self.concepts]
        artefact = [self.artefact.id] if self.artefact else []
        return digest([self.source.key, edit_key, texts, self.comparable, *artefact])[:12]

    @property
    def edit_specs(self) -> tuple[EditSpec, ...]:
        """All edits that are on the model, in the order in which they are put on."""
        return self.edit_spec.stack if self.edit_spec else ()

    @property
    def method(self) -> str:
        """What people call the method; "" where nothing is edited."""
        return self.edit_spec.name if self.edit_spec else ""

    @property
    def concept(self) -> str:
        """The texts of the concepts."""
        return ", ".join(one.text for one in self.concepts)

    @classmethod
    def edited(
        cls,
        source: ModelSpec,
        method: Any,
        concepts: Sequence[Concept],
        cases: Sequence[Case],
        protocol: Protocol,
        judges: Sequence[JudgeSpec],
        name: str = "",
    ) -> Condition:
        """Return the line of a method and its concepts; `name` is what people call the method."""
        concepts = tuple(concepts)
        return cls(source, tuple(cases), protocol, tuple(judges), EditSpec(source, method, concepts, name), concepts)

    @property
    def pictures(self) -> dict[DrawSpec, dict[Pair, None]]:
        """Its pictures by draw spec, each once, in order."""
        by_draw: dict[DrawSpec, dict[Pair, None]] = {}
        for case, draw_spec, seeds in self.case_draws():
            by_draw.setdefault(draw_spec, {}).update(((case.prompt, seed), None) for seed in seeds)
        return by_draw

    @cached_property
    def comparable(self) -> dict[str, Any]:
        """What two lines must share to stand in one table, in types of JSON."""
        references = {"references": self.references.facts} if self.references else {}
        return {**comparable(self.cases, self.judges, self.protocol), "dtype": self.source.dtype, **references}

    def rows(self) -> Iterator[tuple[Case, DrawSpec, Pair]]:
        """Yield each case with each of its seeds, in order, and what draws it."""
        for case, draw_spec, seeds in self.case_draws():
            for seed in seeds:
                yield case, draw_spec, (case.prompt, seed)

    def case_draws(self) -> Iterator[tuple[Case, DrawSpec, tuple[int, ...]]]:
        """Yield each case, what draws it, and its seeds."""
        states: dict[float, DrawSpec] = {}
        for case in self.cases:
            scale = self.protocol.guidance_scale if case.guidance_scale is None else case.guidance_scale
            draw_spec = states.get(scale) or states.setdefault(scale, self._state(scale))
            yield case, draw_spec, self.protocol.seeds if case.seed is None else (case.seed,)

    def _state(self, guidance_scale: float) -> DrawSpec:
        facts = self.protocol
        return DrawSpec(
            self.source,
            self.edit_spec,
            facts.steps,
            guidance_scale,
            facts.solver,
            facts.size,
            facts.negative_prompt,
            self.artefact,
        )


def comparable(cases: Iterable[Case], judges: Iterable[JudgeSpec], protocol: Protocol) -> dict[str, Any]:
    """Return what two measurements must share to be compared, in types of JSON: drawing, cases and judges."""
    cases_digest = digest([case.facts() for case in cases])
    return {**protocol.facts(), "cases": cases_digest, "judges": [dict(judge.facts) for judge in judges]}


def _settings_of(judge: Judge) -> dict[str, Any]:
    """Return the fields of a judge that differ from their defaults; none of a judge that is no dataclass."""
    if not is_dataclass(judge):
        return {}
    values = {each.name: (getattr(judge, each.name), _default(each)) for each in fields(judge) if each.init}
    return {name: value for name, (value, default) in values.items() if value != default}


def _default(of: Field[Any]) -> Any:
    return of.default if of.default_factory is MISSING else of.default_factory()


_RESULT_COLUMNS = frozenset(
    (
        *("condition", "model", "method", "concept", "state", "group", "label", "prompt", "attribute"),
        *("expected", "expected_also", "seed", "image", "error", "hit"),
    )
)
"""What a table of results holds beside the judges' columns."""


def _check_columns(judges: Sequence[JudgeSpec], cases: Iterable[Case]) -> None:
    columns = [column for judge in judges for column in judge.columns]
    if taken := sorted(_RESULT_COLUMNS.intersection(columns)):
        raise BadArgument(
            f"A judge has a column {' and '.join(taken)}, which every table of results has already: "
            "give it another name by its setting column."
        )
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise BadArgument(f"Two judges have a column {' and '.join(twice)}: leave one of them out.")
    missing = sorted({case.attribute for case in cases if case.attribute} - set(columns))
    if missing:
        raise BadArgument(f"The judge says nothing of {', '.join(missing)}: it knows {', '.join(sorted(columns))}.")
