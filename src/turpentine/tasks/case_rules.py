"""What a bench's file asks of the models, as cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

from turpentine.bench.schema import Cases, FileCases, PromptCases, WorldCases
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.tasks.cases import Case, erasure_cases
from turpentine.tasks.prompt_file import PromptRow, read_prompts


def cases_of(
    rule: Cases, concepts: Sequence[Concept], names: Sequence[str], folder: Path | None = None
) -> dict[Case, None]:
    """The cases of a rule where these concepts are erased, in order.

    names: all concepts of the bench. folder: where a file of prompts may be, beside the current folder. Raises
    BadArgument for a template without {}, and for a file that cannot be read, with its line.
    """
    match rule:
        case WorldCases():
            return dict.fromkeys(case for case in erasure_cases(concepts) if case.group in rule.world)
        case PromptCases():
            return dict.fromkeys(_by_template(rule, concepts, names))
        case FileCases():
            return dict.fromkeys(_from_file(rule, concepts, folder))


def values_in(rules: Sequence[Cases], column: str, folder: Path | None = None) -> tuple[str, ...]:
    """What a column of the files of prompts names, each once. Raises BadArgument if no file has it."""
    rows = [row for rule in rules if isinstance(rule, FileCases) for row in _rows(rule, folder, column)]
    found = dict.fromkeys(row.labels[column] for row in rows)
    if not found:
        raise BadArgument(f"No file of prompts names anything in a column {column!r}: give concepts.")
    return tuple(found)


def wanted_in(rule: FileCases, folder: Path | None = None) -> Iterator[tuple[str, str]]:
    """Where the rows of a file of prompts say what they are of, file and line, and what that is; each name once."""
    if rule.concept is None:
        return
    first: dict[str, int] = {}
    for row in _rows(rule, folder, rule.concept):
        first.setdefault(row.labels[rule.concept], row.line)
    yield from ((f"{rule.file}, line {line}", name) for name, line in first.items())


def find_file(name: str, folder: Path | None) -> Path:
    """A file of prompts: as it is given, or in a folder. Raises BadArgument, saying where one can be given."""
    for path in (Path(name), *([folder / name] if folder else [])):
        if path.is_file():
            return path
    raise BadArgument(f"There is no file of prompts {name}: get it, and give it with --set cases.0.file=FILE.csv.")


def _by_template(rule: PromptCases, concepts: Sequence[Concept], names: Sequence[str]) -> Iterator[Case]:
    gone = {concept.text for concept in concepts}
    for name in rule.of or names:
        group = "erased" if name in gone else rule.group
        for prompt in Concept(name, templates=rule.prompts).prompts:
            yield Case(group, name, prompt, rule.column, name if rule.column else None)


def _from_file(rule: FileCases, concepts: Sequence[Concept], folder: Path | None) -> Iterator[Case]:
    gone = {concept.text for concept in concepts}
    for row in _rows(rule, folder, rule.concept):
        of = row.labels[rule.concept] if rule.concept else None
        yield Case(
            "erased" if of in gone else rule.group,
            of or Path(rule.file).stem,
            row.prompt,
            rule.column,
            (rule.wanted or of) if rule.column else None,
            row.seed if rule.own_seeds else None,
            row.guidance if rule.own_guidance else None,
        )


def _rows(rule: FileCases, folder: Path | None, column: str | None) -> tuple[PromptRow, ...]:
    return _read(find_file(rule.file, folder), (column,) if column else (), rule.own_seeds, rule.rows)


@cache
def _read(path: Path, labels: tuple[str, ...], seeds: bool, rows: int | None) -> tuple[PromptRow, ...]:
    """A file is read once for all lines of a table."""
    return tuple(islice(read_prompts(path, labels=labels, seeds=seeds), rows))
