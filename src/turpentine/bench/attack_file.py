"""The file of a bench of attacks: methods × concepts × attacks, each beside its controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from turpentine.bench.entries import single_concept, validated
from turpentine.bench.faults import sentences
from turpentine.bench.file import BenchFile, open_bench, protocols
from turpentine.bench.method_entries import LoneMethods, MethodEntry, plugin_entry
from turpentine.bench.schema import (
    BenchModels,
    JudgeEntry,
    checked_judge,
    seeds_of,
)
from turpentine.bench.yaml_lines import Document, with_overrides
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, SeveralFaults, UnknownName
from turpentine.core.suggest import offer
from turpentine.emoji.world import UNSEEN
from turpentine.tasks.case_rules import FileSection

KEY = "attacks"
"""Which only such a file has."""


def _attack(value: Any) -> MethodEntry:
    return plugin_entry(value, "attack", ("attack",))


def _unseen(value: Any) -> tuple[str, ...]:
    names = tuple(map(str, value)) if isinstance(value, list) else (str(value),)
    for name in names:
        if name not in UNSEEN:
            raise UnknownName(f"There are no sprites of {name!r} outside the world: {offer(name, UNSEEN)}")
    return tuple(dict.fromkeys(names))


class TrialSection(FileSection):
    """How pictures are drawn, and how many; see `turpentine.attack.Trial`.

    Steps and guidance that are left out are the model's family's.
    """

    steps: Annotated[int, Field(ge=1)] | None = None
    guidance_scale: float | None = None
    pictures: Annotated[int, Field(ge=1)] = 20
    curve_pictures: Annotated[int, Field(ge=1)] = 8
    batch_size: Annotated[int, Field(ge=1)] = 20
    original_rate: Annotated[float, Field(ge=0, le=1)] = 0.5


class BudgetSection(FileSection):
    """The most that each search may spend; see `turpentine.attack.Budget`."""

    forward: Annotated[int, Field(ge=1)] | None = None
    backward: Annotated[int, Field(ge=1)] | None = None
    text: Annotated[int, Field(ge=1)] | None = None
    judged: Annotated[int, Field(ge=1)] | None = None


class AttackSpec(FileSection):
    """The content of the file of a bench of attacks.

    Attributes:
        title: Of the table.
        about: What it shows.
        source: What it is a counterpart of, such as a paper's table.
        models: Names or paths, as `load` takes them, or these with what they are loaded with.
        concepts: Erased and brought back one after the other.
        methods: Names, or names with settings.
        attacks: Names, or names with settings.
        judge: A name, or a name with settings.
        never: What no model of the emoji world has seen, as one more control: a name, or several.
        trial: How pictures are drawn, and how many.
        budget: The most that each search may spend.
        seeds: Of each search and its new pictures; the edits have their own.
    """

    title: str
    about: str = ""
    source: str = ""
    models: BenchModels
    concepts: tuple[Annotated[Concept, validated(single_concept)], ...] = Field(min_length=1)
    methods: LoneMethods = Field(min_length=1)
    attacks: tuple[Annotated[MethodEntry, validated(_attack)], ...] = Field(min_length=1)
    judge: Annotated[JudgeEntry, BeforeValidator(checked_judge)]
    never: Annotated[tuple[str, ...], validated(_unseen)] = ()
    trial: TrialSection = TrialSection()
    budget: BudgetSection = BudgetSection()
    seeds: Annotated[tuple[int, ...], Field(min_length=1), validated(seeds_of)] = (0,)

    @property
    def attack_names(self) -> list[str]:
        """A name for each attack: with its settings where there are several of one name."""
        plain = [entry.plugin.name for entry in self.attacks]
        return [name if plain.count(name) == 1 else entry.name for name, entry in zip(plain, self.attacks, strict=True)]


def attack_benches() -> dict[str, str]:
    """Return the texts of the benches of attacks that come with the package, by name."""
    return protocols(KEY)


def read_attack_bench(name: str, overrides: Sequence[str] = ()) -> AttackSpec | None:
    """Read a bench of attacks; None for a bench of another kind.

    Args:
        name: A path, or the name of one that ships.
        overrides: `key=value`, in the place of what the file says.

    Raises:
        BadArgument: The file cannot be read, or a value cannot be; file and line are named.
        UnknownName: There is no such file; or a name in it is not known.

    Example:
        >>> read_attack_bench("emoji-attacks", ["trial.steps=5"]).trial.steps
        5
        >>> read_attack_bench("emoji-objects") is None
        True
    """
    opened = open_bench(name)
    if not is_attack_bench(opened):
        return None
    with_overrides(opened.document, overrides)
    return attack_spec_of(opened.document)


def is_attack_bench(opened: BenchFile) -> bool:
    """Return whether a file is that of a bench of attacks."""
    return opened.has(KEY)


def attack_spec_of(document: Document) -> AttackSpec:
    """Return the bench of attacks of a document, checked.

    Raises:
        SeveralFaults: Values cannot be; file and line of each are named.
        BadArgument: A method erases nothing.
    """
    try:
        spec = AttackSpec.model_validate(document.value)
    except ValidationError as error:
        raise SeveralFaults(sentences(error, document, AttackSpec)) from error
    for index, entry in enumerate(spec.methods):
        if entry.plugin.kind != "erase":
            raise BadArgument(f"{document.place(('methods', index))}: {entry.name} erases nothing: leave it out.")
    return spec
