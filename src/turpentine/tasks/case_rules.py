"""Rules of a bench's file for what is asked of the models, and the cases that they give."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest_file
from turpentine.tasks.cases import Case
from turpentine.tasks.erasure_cases import erasure_cases
from turpentine.tasks.pairs import pair_cases
from turpentine.tasks.prompt_file import PromptRow, read_prompts

Group = Literal["erased", "scene", "neighbour", "other", "pair", "object", "style", "colour", "work"]

_PROMPTS = Path(__file__).parent / "prompts"


class FileSection(BaseModel):
    """A section of a bench's file: it has these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_flags(cls, value: Any, info: Any) -> Any:
        """Refuse true and false where a number belongs, which Python counts as 1 and 0."""
        hint = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and bool not in (hint, *get_args(hint)):
            raise ValueError(f"{info.field_name} cannot be {str(value).lower()}.")
        return value


class WorldCases(FileSection):
    """Cases of the emoji world: those groups of `erasure_cases`, and "pair", two objects together."""

    world: tuple[Group, ...]


class PromptCases(FileSection):
    """Prompts by template: for the erased concept, and for others, which are to be preserved.

    Attributes:
        prompts: Templates with {} where the name goes; "a {}" gives "an owl" too.
        of: The names; by default the bench's concepts.
        column: The judge's column that should hold the name.
        group: Of the others.
    """

    prompts: tuple[str, ...] = Field(min_length=1)
    of: tuple[str, ...] | None = None
    column: str | None = None
    group: Group = "other"


class FileCases(FileSection):
    """Prompts from a CSV file in the field's format; see `read_prompts`.

    Attributes:
        file: Its path.
        group: Of its cases; rows of an erased concept are in the group "erased".
        concept: The file's column that names what a row is of.
        column: The judge's column that should hold the same name, or `expected` instead.
        expected: The label that makes a picture a hit; by default the name in `concept`.
        own_seeds: Whether to draw a row with the seed that the file gives.
        own_guidance: Whether to draw a row with the guidance scale that the file gives.
        rows: How many of the first rows to take; None for all.
    """

    file: str
    group: Group = "other"
    concept: str | None = None
    column: str | None = None
    expected: str | None = None
    own_seeds: bool = False
    own_guidance: bool = False
    rows: int | None = Field(None, ge=1)


KINDS: Mapping[str, type[FileSection]] = {"world": WorldCases, "prompts": PromptCases, "file": FileCases}
"""The kinds of cases, by the key that only this kind has."""


def _kind(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else {}
    return next((kind for kind in KINDS if kind in keys), None)


CaseRule = Annotated[
    Annotated[WorldCases, Tag("world")] | Annotated[PromptCases, Tag("prompts")] | Annotated[FileCases, Tag("file")],
    Discriminator(_kind),
]


def cases_of(
    rule: CaseRule, concepts: Sequence[Concept], names: Sequence[str], folder: Path | None = None
) -> dict[Case, None]:
    """Return the cases of a rule where these concepts are erased, in order.

    Args:
        rule: A section of a bench's file.
        concepts: What is erased.
        names: All concepts of the bench.
        folder: Where a file of prompts may be, beside the current folder.

    Raises:
        BadArgument: A template lacks {}, or a file cannot be read; the message names the line.
    """
    match rule:
        case WorldCases():
            cases = [*erasure_cases(concepts), *pair_cases(concepts, lambda name: ("object", name))]
            return dict.fromkeys(case for case in cases if case.group in rule.world)
        case PromptCases():
            return dict.fromkeys(_by_template(rule, concepts, names))
        case FileCases():
            return dict.fromkeys(_from_file(rule, concepts, names, folder))


def values_in(rules: Sequence[CaseRule], column: str, folder: Path | None = None) -> tuple[str, ...]:
    """Return the values of a column of the files of prompts, each once.

    Raises:
        BadArgument: No file has any.
    """
    values: dict[str, None] = {}
    for rule in rules:
        if isinstance(rule, FileCases):
            values |= dict.fromkeys(name for _, name in _named_rows(rule, folder, column, tuple(values)))
    if not values:
        raise BadArgument(f"No file of prompts names anything in a column {column!r}: give concepts.")
    return tuple(values)


def labels_in(rule: FileCases, folder: Path | None = None, names: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield what the rows of a file of prompts are of, each name once: its place (file and line), and the name.

    Args:
        rule: A section of a bench's file.
        folder: Where the file may be, beside the current folder.
        names: How the bench spells its concepts.
    """
    if rule.concept is None:
        return
    first: dict[str, int] = {}
    for row, name in _named_rows(rule, folder, rule.concept, names):
        first.setdefault(name, row.line)
    yield from ((f"{rule.file}, line {line}", name) for name, line in first.items())


def names_of(rule: PromptCases, names: Sequence[str]) -> list[str]:
    """Return the names that templates are filled with, spelled as the bench's concepts where they are some.

    Args:
        rule: A section of a bench's file.
        names: All concepts of the bench.
    """
    spellings = _Spellings(names)
    return [spellings.of(name) for name in rule.of or names]


def ships(name: str) -> bool:
    """Return whether a file of prompts comes with the package.

    Example:
        >>> ships("harmless.csv"), ships("coco_30k.csv")
        (True, False)
    """
    return not Path(name).parent.name and (_PROMPTS / name).is_file()


def find_file(name: str, folder: Path | None) -> Path:
    """Return the path of a file of prompts: as it is given, in a folder, or among those that ship, as harmless.csv.

    Raises:
        BadArgument: There is no such file; the message says how to give one.
    """
    shipped = [_PROMPTS / name] if ships(name) else []
    for path in (Path(name), *([folder / name] if folder else []), *shipped):
        if path.is_file():
            return path
    raise BadArgument(f"There is no file of prompts {name}: get it, and give it with --set cases.0.file=FILE.csv.")


def _by_template(rule: PromptCases, concepts: Sequence[Concept], names: Sequence[str]) -> Iterator[Case]:
    gone = {concept.text for concept in concepts}
    for name in names_of(rule, names):
        group = "erased" if name in gone else rule.group
        for prompt in Concept(name, templates=rule.prompts).prompts:
            yield Case(group, name, prompt, rule.column, name if rule.column else None)


def _from_file(
    rule: FileCases, concepts: Sequence[Concept], names: Sequence[str], folder: Path | None
) -> Iterator[Case]:
    gone = {concept.text for concept in concepts}
    for row, of in _named_rows(rule, folder, rule.concept, [*gone, *names]):
        yield Case(
            "erased" if of in gone else rule.group,
            of or Path(rule.file).stem,
            row.prompt,
            rule.column,
            (rule.expected or of) if rule.column else None,
            row.seed if rule.own_seeds else None,
            row.guidance if rule.own_guidance else None,
        )


def _named_rows(
    rule: FileCases, folder: Path | None, column: str | None, names: Sequence[str] = ()
) -> Iterator[tuple[PromptRow, str]]:
    """Yield the rows with what they are of, "" where no column says so.

    Names that differ in capitals and spaces alone are one: spelled as the first of them, in `names` or in the file.

    Raises:
        BadArgument: A row names nothing.
    """
    spellings = _Spellings(names)
    for row in _rows(rule, folder, column):
        name = row.labels[column].strip() if column else ""
        if column and not name:
            raise BadArgument(f"{rule.file}, line {row.line}: {column} is empty: say what the prompt is of.")
        yield row, spellings.of(name)


class _Spellings:
    """One spelling for names that differ in capitals, spaces or ways to write an accent alone: the first.

    Args:
        names: Whose spelling comes first.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._first: dict[str, str] = {}
        for name in names:
            self.of(name)

    def of(self, name: str) -> str:
        """Return the spelling of a name."""
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        return self._first.setdefault(plain, name)


def _rows(rule: FileCases, folder: Path | None, column: str | None) -> tuple[PromptRow, ...]:
    return _read(find_file(rule.file, folder), (column,) if column else (), rule.own_seeds, rule.rows)


def _read(path: Path, labels: tuple[str, ...], seeds: bool, rows: int | None) -> tuple[PromptRow, ...]:
    """Read a file once for all lines of a table; another content is another file."""
    return _read_once(path, digest_file(path), labels, seeds, rows)


@lru_cache(maxsize=64)
def _read_once(
    path: Path, content: str, labels: tuple[str, ...], seeds: bool, rows: int | None
) -> tuple[PromptRow, ...]:
    return tuple(islice(read_prompts(path, labels=labels, seeds=seeds), rows))
