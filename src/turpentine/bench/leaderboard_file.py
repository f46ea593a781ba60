"""The file of a leaderboard: methods × concepts, measured as a bench, attacked as a bench of attacks, and audited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, ValidationError

from turpentine.bench.attack_file import AttackSpec, attack_spec_of
from turpentine.bench.faults import sentences
from turpentine.bench.file import Bench, BenchFile, bench_of, open_bench, protocols
from turpentine.bench.yaml_lines import Document, with_overrides
from turpentine.core.errors import BadArgument, SeveralFaults, UnknownName
from turpentine.core.suggest import offer
from turpentine.tasks.case_rules import FileSection

SHIPPED = "leaderboards"
SHARED = ("title", "about", "source", "models", "concepts", "methods")
"""Keys that all sections have in common."""
MEASURED, ATTACKED, AUDITED = "measured", "attacked", "audited"
"""The sections: a bench, a bench of attacks, and how audits are done."""


class AuditSection(FileSection):
    """How each edit is audited, by the attacks, the judge, the trial, the budget and the seed of `attacked`.

    Attributes:
        pictures: Of each arm, by name and of each attack; with as many as the trial has, no search is done twice.
        others: Pictures of single other things.
    """

    pictures: Annotated[int, Field(ge=20)] = 20
    others: Annotated[int, Field(ge=20)] = 20


@dataclass(frozen=True, eq=False)
class LeaderboardSpec:
    """The content of a leaderboard's file, checked.

    Attributes:
        measured: The bench of what is erased and what is left.
        attacked: The bench of attacks, of the same models, concepts and methods.
        audited: How each edit is audited; None for not at all.
    """

    measured: Bench
    attacked: AttackSpec
    audited: AuditSection | None = None

    @property
    def title(self) -> str:
        """Of the table."""
        return self.attacked.title


def leaderboards() -> dict[str, str]:
    """Return the texts of the leaderboards that come with the package, by name."""
    return protocols(SHIPPED)


def read_leaderboard(
    name: str, overrides: Sequence[str] = (), check: Callable[[Bench], None] | None = None
) -> LeaderboardSpec | None:
    """Read a leaderboard; None for a bench of another kind.

    Args:
        name: A path, or the name of one that ships.
        overrides: `key=value`, in the place of what the file says.
        check: Called with the bench before its judges are made, which brings torch; it may refuse it.

    Raises:
        BadArgument: The file cannot be read, or a value cannot be; file and line are named.
        UnknownName: A name is not known; file and line are named.

    Example:
        >>> read_leaderboard("emoji-leaderboard", ["measured.drawing.steps=5"]).measured.spec.drawing.steps
        5
        >>> read_leaderboard("emoji-objects") is None
        True
    """
    opened = open_bench(name)
    return leaderboard_of(opened, overrides, check) if is_leaderboard(opened) else None


def is_leaderboard(opened: BenchFile) -> bool:
    """Return whether a file is that of a leaderboard."""
    return opened.has(ATTACKED)


def leaderboard_of(
    opened: BenchFile, overrides: Sequence[str] = (), check: Callable[[Bench], None] | None = None
) -> LeaderboardSpec:
    """Return the leaderboard of a file, checked.

    Args:
        opened: The file.
        overrides: As for `read_leaderboard`.
        check: As for `read_leaderboard`.

    Raises:
        BadArgument: A value cannot be, or there is nothing to hold audits against; file and line are named.
        UnknownName: A name is not known; file and line are named.
    """
    document = opened.document
    with_overrides(document, overrides)
    _check_keys(document)
    measured = bench_of(replace(opened, document=_section(document, MEASURED)), check)
    attacked, audited = attack_spec_of(_section(document, ATTACKED)), _audit_of(document)
    if audited and not attacked.never:
        raise BadArgument(
            f"{document.place((AUDITED,))}: There is nothing to hold audits against: name what was never seen, as in "
            "attacked.never=mushroom."
        )
    return LeaderboardSpec(measured, attacked, audited)


def _check_keys(document: Document) -> None:
    names = (*SHARED, MEASURED, ATTACKED, AUDITED)
    for key in document.value:
        if key not in names:
            raise UnknownName(f"{document.place((key,))}: there is no key {key!r}: {offer(str(key), names)}")
    for name in (MEASURED, ATTACKED):
        if not isinstance(document.value.get(name), dict):
            raise BadArgument(f"{document.place((name,))}: {name!r} holds no keys with values.")


def _section(document: Document, name: str) -> Document:
    """Return a section as a file of its own, with the keys that all have in common and the lines where each stands."""
    shared = {key: document.value[key] for key in SHARED if key in document.value}
    places = {path: place for path, place in document.places.items() if path[:1] and path[0] in shared}
    places |= {path[1:]: place for path, place in document.places.items() if path[:1] == (name,)}
    return Document({**shared, **document.value[name]}, document.name, places)


def _audit_of(document: Document) -> AuditSection | None:
    value = document.value.get(AUDITED)
    if value is None:
        return None
    own = Document(value, document.name, {p[1:]: line for p, line in document.places.items() if p[:1] == (AUDITED,)})
    try:
        return AuditSection.model_validate(value)
    except ValidationError as error:
        raise SeveralFaults(sentences(error, own, AuditSection)) from error
